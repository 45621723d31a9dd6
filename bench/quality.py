"""How well chunks are found: recall@4, nDCG@10 and answer-in-context per question set, with the bars beside them.

    python bench/quality.py --data DIR [--lexical] [--json]

Every ranking comes from a real index. Rerankings are cross-validated: a question is scored by weights that were fitted
without it, never by those in the package. A document stands where its best chunk stands. An answer is in context when
the chunks that `select` keeps contain one of the known answers word for word; one in free words when they contain
most of its telling words.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dense_vectors import Dense, dense_vectors
from retrieval_data import SETS, Case, indexed, load
from retrieval_metrics import Scores, mean, score
from run import describe
from train_reranker import Array, Groups, by_question, rank_case

from ragkit.nouns import Hit, Query
from ragkit.retrieve import in_context, retrieve, weigh
from ragkit.select import select
from ragkit.store import Candidates, Store, StoreQuery
from ragkit.words.text import words
from ragkit.words.wordlist import weight

K, RRF = 40, 60
BARS: Mapping[str, Scores] = {
    "api_docs_qa": Scores(0.775, 0.815),
    "mtrag_un": Scores(0.754, 0.809),
    "covid_qa": Scores(0.869, 0.837),
    "musique100": Scores(0.573, 0.659),
    "xquad": Scores(0.976, 0.957),
}
"""The best of BM25, MiniLM and their equal-weight fusion: what the default has to beat with neither of them fetched."""

FREE_WORDS, MOST = 8, 0.8
"""An answer of this many telling words is in free words; this part of them has to be in context."""

GAIN = 0.03
"""What reranking has to add to BM25's nDCG@10 on average over the sets."""

BM25, DENSE, EQUAL, FUSED = "BM25", "dense (MiniLM)", "equal-weight RRF", "fused"
LEXICAL, HYBRID = "BM25 + rerank", "fused + rerank"

Ranking = tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A way of ranking on a set."""

    scores: Scores
    answered: float

    def __str__(self) -> str:
        return f"{self.scores}   {self.answered:.3f}"


MEASURES: Mapping[str, Callable[[Row], float]] = {
    "recall@4": lambda row: row.scores.recall,
    "nDCG@10": lambda row: row.scores.ndcg,
    "answer in context": lambda row: row.answered,
}
Table = dict[str, dict[str, Row]]
"""By set, then by way of ranking."""


async def measure(data: Path, *, dense: bool) -> Table:
    table: Table = {}
    groups: dict[str, Groups] = {LEXICAL: {}, HYBRID: {}}
    for name in SETS:
        began, questions = time.perf_counter(), load(data, name)
        vectors = await dense_vectors(questions) if dense else None
        async with indexed(questions.chunks, vectors.chunks if vectors else None) as store:
            for variant, cases in _variants(name, questions.cases):
                table[variant] = await _retrieved(cases, store, vectors)
                groups[LEXICAL][variant] = [await rank_case(case, store, None) for case in cases]
                if vectors:
                    groups[HYBRID][variant] = [await rank_case(case, store, vectors) for case in cases]
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    for way, kind in groups.items():
        for variant, scores in by_question(kind).items() if kind else ():
            items = kind[variant]
            rankings = [_sorted(item.hits, values) for item, values in zip(items, scores, strict=True)]
            table[variant][way] = _row([item.case for item in items], rankings)
    return table


def _variants(name: str, cases: tuple[Case, ...]) -> Iterable[tuple[str, tuple[Case, ...]]]:
    """Conversations are also asked without what came before."""
    yield name, cases
    if any(case.query.history for case in cases):
        yield f"{name} alone", tuple(replace(case, query=Query(case.query.text)) for case in cases)


async def _retrieved(cases: Sequence[Case], store: Store, vectors: Dense | None) -> dict[str, Row]:
    rankings: dict[str, list[Ranking]] = {}
    for case in cases:
        vector = vectors.questions[in_context(case.query)] if vectors else None
        found = await store.search(StoreQuery("default", weigh(case.query), K, vector))
        rankings.setdefault(BM25, []).append(_shares(found.sparse))
        if vectors:
            fused = await retrieve(case.query, store=store, embedder=vectors)
            rankings.setdefault(DENSE, []).append(_shares(found.dense))
            rankings.setdefault(EQUAL, []).append(_rrf(found))
            rankings.setdefault(FUSED, []).append(fused.hits)
    return {way: _row(cases, ranked) for way, ranked in rankings.items()}


def _shares(hits: Ranking) -> Ranking:
    top = max((hit.score for hit in hits), default=1.0) or 1.0
    return tuple(replace(hit, score=hit.score / top) for hit in hits)


def _rrf(found: Candidates) -> Ranking:
    scores: dict[str, float] = {}
    for hits in (found.sparse, found.dense):
        for rank, hit in enumerate(hits, start=1):
            scores[hit.chunk.id] = scores.get(hit.chunk.id, 0.0) + 1 / (RRF + rank)
    every = {hit.chunk.id: hit for hit in (*found.sparse, *found.dense)}
    ranked = (replace(hit, score=scores[key]) for key, hit in every.items())
    return tuple(sorted(ranked, key=lambda hit: (-hit.score, hit.chunk.id)))


def _sorted(hits: Ranking, values: Array) -> Ranking:
    return tuple(replace(hits[place], score=float(values[place])) for place in np.argsort(-values, kind="stable"))


def _row(cases: Sequence[Case], rankings: Sequence[Ranking]) -> Row:
    both = list(zip(cases, rankings, strict=True))
    scores = mean([score([hit.chunk.document_id for hit in hits], case.relevant) for case, hits in both])
    answered = [_answered(case, select(hits)) for case, hits in both if case.answers]
    return Row(scores, sum(answered) / max(1, len(answered)))


def _answered(case: Case, kept: Ranking) -> bool:
    context = " ".join(hit.chunk.text for hit in kept)
    plain, found = _plain(context), set(words(context))
    return any(_plain(answer) in plain or _said(answer, found) for answer in case.answers if answer.strip())


def _said(answer: str, found: set[str]) -> bool:
    telling = {stem for stem in words(answer) if weight(stem) > 0}
    return len(telling) >= FREE_WORDS and len(telling & found) >= MOST * len(telling)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def show(table: Table) -> bool:
    """Print a table for each measure and every verdict; whether all of them hold."""
    ways = list(dict.fromkeys(way for rows in table.values() for way in rows))
    for measure, of in MEASURES.items():
        print(f"\n{measure:24}" + "".join(f"{name:>16}" for name in table))
        for way in ways:
            print(f"{way:24}" + "".join(f"{of(rows[way]):16.3f}" for rows in table.values()))
        if measure in ("recall@4", "nDCG@10"):
            bars = (f"{of(Row(BARS[name], 0)):.3f}" if name in BARS else "" for name in table)
            print(f"{'bar':24}" + "".join(f"{bar:>16}" for bar in bars))
    verdicts = list(_verdicts(table))
    print()
    for holds, text in verdicts:
        print(f"{'pass  ' if holds else 'MISSED'}  {text}")
    return all(holds for holds, _ in verdicts)


def to_json(table: Table) -> dict[str, Any]:
    measured = {
        name: {way: {measure: round(of(row), 4) for measure, of in MEASURES.items()} for way, row in rows.items()}
        for name, rows in table.items()
    }
    bars = {name: {"recall@4": bar.recall, "nDCG@10": bar.ndcg} for name, bar in BARS.items()}
    verdicts = [{"holds": holds, "what": text} for holds, text in _verdicts(table)]
    return {"machine": describe(), "measured": measured, "bars": bars, "verdicts": verdicts}


def _verdicts(table: Table) -> Iterable[tuple[bool, str]]:
    for name, rows in table.items():
        plain, reranked = rows[BM25].scores, rows[LEXICAL].scores
        yield reranked.ndcg > plain.ndcg, f"{name}: {LEXICAL} {reranked.ndcg:.3f} above BM25 {plain.ndcg:.3f}"
        if bar := BARS.get(name):
            holds = reranked.recall >= bar.recall and reranked.ndcg >= bar.ndcg
            yield holds, f"{name}: {LEXICAL} {reranked} reaches {bar}"
        if FUSED in rows:
            better = max(rows[BM25].scores.ndcg, rows[DENSE].scores.ndcg)
            fused = rows[FUSED].scores.ndcg
            yield fused >= better, f"{name}: fused {fused:.3f} not below the better of its parts {better:.3f}"
            final = rows[HYBRID].scores.ndcg
            yield final > fused, f"{name}: {HYBRID} {final:.3f} above fused {fused:.3f}"
    gains = [rows[LEXICAL].scores.ndcg - rows[BM25].scores.ndcg for name, rows in table.items() if name in BARS]
    yield sum(gains) / len(gains) >= GAIN, f"{LEXICAL} adds {sum(gains) / len(gains):.3f} nDCG@10 on average"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure retrieval, fusion and reranking.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--lexical", action="store_true", help="leave out everything that needs dense vectors")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args()
    table = asyncio.run(measure(options.data, dense=not options.lexical))
    if options.json:
        print(json.dumps(to_json(table), indent=2))
        sys.exit(not all(holds for holds, _ in _verdicts(table)))
    print(", ".join(f"{name} {value}" for name, value in describe().items()))
    sys.exit(not show(table))


if __name__ == "__main__":
    main()
