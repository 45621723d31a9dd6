"""Numbers that tell how well a chunk fits a question: words, their closeness, titles, and the company it keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, compress

from ragkit.nouns import Chunk, Hit
from ragkit.rerankers.links import LINKS, links
from ragkit.rerankers.reading import Read, Wanted, read, read_title, want
from ragkit.rerankers.related import RELATED, Found, meaning, related

K1, B, USUAL_LENGTH = 1.2, 0.75, 200.0
"""BM25's saturation and length normalization, and the words of a usual chunk, stop words included."""

NEAR, SENTENCE, PHRASE, OPENING = 8, 24, 10, 30
"""Words within which two terms are near, a sentence ends, a phrase ends, and a chunk begins."""

LEADERS = 5
"""The best hits of retrieval, whose shared vocabulary says what the question is about."""

OWN = (
    "cover", "exact", "bm25", "sentence", "phrase", "adjacent", "near", "title", "titled", "rarest", "second_rarest",
    "numbers", "named", "early", "sign", "length", "ordinal",
)  # fmt: skip
AMONG = ("score", "rank", "deviation", "found_later", "document", "document_best", "leaders")
RELATIVE = (
    "cover", "exact", "bm25", "sentence", "phrase", "adjacent", "near", "title", "early", "leaders", "named_by",
    "related_cover", "related_bm25", "related_sentence",
)  # fmt: skip
"""Signals that are also given as a share of the best one among the hits."""

SIGNALS = OWN + RELATED + AMONG + LINKS + tuple(f"relative_{name}" for name in RELATIVE)


def signals(question: str, hits: Sequence[Hit]) -> list[list[float]]:
    """A row per hit, in the order of `SIGNALS`."""
    if not hits:
        return []
    wanted = want(question)
    meant = meaning(wanted)
    bodies = [read(_said(hit.chunk)) for hit in hits]
    titles = [read_title(hit.chunk.title) for hit in hits]
    rows = []
    for hit, body, title in zip(hits, bodies, titles, strict=True):
        found = [*compress(enumerate(body.order), map(meant.__contains__, body.order))]
        rows.append(_own(wanted, hit, body, title, found) + related(wanted, meant, found, title))
    spread = Counter(chain.from_iterable([body.terms for body in bodies]))
    for row, among in zip(rows, _among(hits, bodies, spread), strict=True):
        row += among
    estimates = [_estimate(row) for row in rows]
    for row, linked in zip(rows, links(wanted, hits, bodies, titles, estimates, spread), strict=True):
        row += linked
    return _with_relative(rows)


def _said(chunk: Chunk) -> str:
    """A chunk's words, after those that say what it leaves out."""
    return f"{chunk.context}\n{chunk.text}" if chunk.context else chunk.text


def _own(wanted: Wanted, hit: Hit, body: Read, title: Read, meant: Found) -> list[float]:
    rarity, total = wanted.rarity, wanted.total
    found = [at for at in meant if at[1] in rarity]
    places: dict[int, list[int]] = {}
    for place, said in found:
        places.setdefault(said, []).append(place)
    length = max(1, len(body.order))
    damping = K1 * (1 - B + B * length / USUAL_LENGTH)
    titled = title.terms & rarity.keys()
    have = titled | places.keys()
    adjacent, near = _closeness(wanted, places)
    carried = wanted.share(titled)
    rarest = wanted.rarest
    return [
        wanted.share(places),
        wanted.share({said for place, said in found if body.spelled[place] == wanted.spelled[said]}),
        sum([rarity[said] * len(at) / (len(at) + damping) for said, at in places.items()]) / total,
        _densest(found, rarity, SENTENCE) / total,
        _densest(found, rarity, PHRASE) / total,
        adjacent,
        near,
        carried,
        len(titled) / len(title.terms) * min(1.0, carried * total / rarity[rarest[0]]) if titled else 0.0,
        float(bool(rarest) and rarest[0] in have),
        float(len(rarest) > 1 and rarest[1] in have),
        len(wanted.numbers & body.terms) / max(1, len(wanted.numbers)),
        wanted.share(wanted.named & have) / (wanted.share(wanted.named) or 1.0),
        wanted.share({said for place, said in found if place < OPENING}),
        float(wanted.sign is not None and wanted.sign.search(hit.chunk.text) is not None),
        math.log(length / USUAL_LENGTH),
        1 / (1 + hit.chunk.ordinal),
    ]


def _closeness(wanted: Wanted, places: Mapping[int, Sequence[int]]) -> tuple[float, float]:
    """How many of the question's neighbours are neighbours here, and how many at least near, by their rarity."""
    adjacent = near = total = 0.0
    for first, second, distance in wanted.phrases:
        worth = math.sqrt(wanted.rarity[first] * wanted.rarity[second])
        total += worth
        if first not in places or second not in places:
            continue
        gaps = [there - here for here in places[first] for there in places[second]]
        if distance in gaps or 1 in gaps:
            adjacent += worth
        if min(map(abs, gaps)) <= NEAR:
            near += worth
    return adjacent / (total or 1.0), near / (total or 1.0)


def _densest(found: Found, rarity: Mapping[int, float], width: int) -> float:
    """The most information that stands within `width` words."""
    best = 0.0
    last: dict[int, int] = {}
    for place, said in found:
        last[said] = place
        best = max(best, sum([rarity[one] for one, at in last.items() if at >= place - width]))
    return best


def _among(hits: Sequence[Hit], bodies: Sequence[Read], spread: Mapping[int, int]) -> list[list[float]]:
    """How a hit stands among the others: its score, its document's other chunks, the words that leaders share."""
    top = max(hit.score for hit in hits) or 1.0
    shares = [hit.score / top for hit in hits]
    mean = sum(shares) / len(shares)
    deviation = math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares)) or 1.0
    order = sorted(range(len(hits)), key=lambda index: (-shares[index], hits[index].chunk.id))
    ranks: dict[float, int] = {}
    for place, index in enumerate(order):
        ranks.setdefault(shares[index], place)
    documents: dict[str, list[float]] = {}
    for hit, share in zip(hits, shares, strict=True):
        documents.setdefault(hit.chunk.document_id, []).append(share)
    leading = _leading([(shares[index], bodies[index]) for index in order[:LEADERS]], spread, len(bodies))
    telling = set(leading)
    rows = []
    for hit, share, body in zip(hits, shares, bodies, strict=True):
        own = documents[hit.chunk.document_id]
        common = sum(map(leading.__getitem__, body.terms & telling)) / math.sqrt(len(body.terms) or 1)
        later = float(hit.sparse_rank is None and hit.dense_rank is None)
        rank = 1 / (1 + math.log1p(ranks[share]))
        rows.append([share, rank, (share - mean) / deviation, later, min(3.0, sum(own) - share), max(own), common])
    return rows


def _leading(leaders: Sequence[tuple[float, Read]], spread: Mapping[int, int], hits: int) -> dict[int, float]:
    """The leaders' terms, weighed by how rare they are among all hits; those in nearly every hit say nothing."""
    telling: dict[int, float] = {}
    for share, body in leaders:
        for said in body.terms:
            if spread[said] < 0.8 * hits:
                telling[said] = telling.get(said, 0.0) + share * math.log1p(hits / spread[said])
    return telling


def _estimate(row: Sequence[float]) -> float:
    """A first guess at relevance, by which the hits are chosen that others may be linked to."""
    signal = dict(zip(SIGNALS, row, strict=False))
    return (
        0.35 * signal["score"] * (1 - signal["found_later"])
        + 0.25 * signal["sentence"]
        + 0.2 * signal["cover"]
        + 0.35 * signal["titled"]
        + 0.15 * signal["title"]
    )


def _with_relative(rows: list[list[float]]) -> list[list[float]]:
    columns = [SIGNALS.index(name) for name in RELATIVE]
    best = [max(row[column] for row in rows) or 1.0 for column in columns]
    return [row + [row[column] / top for column, top in zip(columns, best, strict=True)] for row in rows]
