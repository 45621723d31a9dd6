"""What connects hits with each other: a chunk that another one names answers the second half of a question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ragkit.nouns import Hit
from ragkit.rerankers.reading import Read, Wanted

ANCHORS = 8
"""How many promising hits are looked at as the other end of a link."""

PARTLY = 0.7
"""What a title is worth as a link when its words are in the other text, but not as a phrase."""

LINKS = ("named_by", "partly_named_by", "names", "together", "completes")


def links(
    wanted: Wanted,
    hits: Sequence[Hit],
    bodies: Sequence[Read],
    titles: Sequence[Read],
    estimates: Sequence[float],
    spread: Mapping[int, int],
) -> list[list[float]]:
    """A row per hit, in the order of `LINKS`, each the strongest link to an anchor, weighed by its estimate.

    `spread` tells in how many of the hits a term is.
    """
    best = max(estimates) or 1.0
    order = sorted(range(len(hits)), key=lambda index: (-estimates[index], hits[index].chunk.id))
    anchors = [(index, estimates[index] / best) for index in order[:ANCHORS]]
    asked = [(body.terms | title.terms) & wanted.rarity.keys() for body, title in zip(bodies, titles, strict=True)]
    rows = []
    for index, (hit, body, title) in enumerate(zip(hits, bodies, titles, strict=True)):
        row = [0.0] * len(LINKS)
        fresh = {said: math.log1p(len(hits) / spread.get(said, 0.5)) for said in title.terms - wanted.rarity.keys()}
        whole = sum(fresh.values()) or 1.0
        for other, estimate in anchors:
            there = bodies[other]
            shared = fresh.keys() & there.terms
            names = float(body.says(titles[other]))
            if not (shared or names) or hits[other].chunk.document_id == hit.chunk.document_id:
                continue
            named = float(bool(fresh) and there.says(title))
            partly = sum([fresh[said] for said in shared]) / whole
            link = max(named, names, PARTLY * partly)
            both, missing = wanted.share(asked[index] | asked[other]), wanted.share(asked[index] - asked[other])
            values = (estimate * named, estimate * partly, estimate * names, link * both, estimate * link * missing)
            row = list(map(max, row, values))
        rows.append(row)
    return rows
