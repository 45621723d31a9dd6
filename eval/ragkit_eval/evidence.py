"""How much of what is found goes out: ways to keep chunks, and what each is worth on known questions.

Nothing is asked of a model: a way is worth the share of questions whose answer stands in what it keeps, and costs the
tokens that it sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ragkit.nouns import Hit
from ragkit.rag import Ragkit
from ragkit.select import select
from ragkit.settings import RetrievalSettings, SelectSettings, Settings
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import Passage
from ragkit_eval.sandbox import Base, Copy, Library
from ragkit_eval.scoring import Scorer

EVERYTHING = 1_000_000
"""A budget of tokens that nothing exceeds."""
LEAST = SelectSettings().minimum


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of K chunks, reranked or not, `minimum` to `maximum` are sent, by their share of the best score."""

    k: int
    reranker: str
    minimum: int
    maximum: int
    floor: float = 0.0
    token_budget: int = EVERYTHING

    def overlay(self) -> dict[str, Any]:
        """As settings."""
        kept = {name: getattr(self, name) for name in ("minimum", "maximum", "token_budget", "floor")}
        return {"retrieval": {"k": self.k}, "reranker": {"name": self.reranker}, "select": kept}

    def keep(self, hits: Sequence[Hit], distinct: Sequence[Hit]) -> tuple[Hit, ...]:
        """Of ranked hits, as the line keeps them.

        `distinct` are those that say something of their own: it takes long to find out, and is the same for all ways.
        """
        if self.token_budget < EVERYTHING:
            return select(
                hits, minimum=self.minimum, maximum=self.maximum, token_budget=self.token_budget, floor=self.floor
            )
        least = self.floor * distinct[0].score if distinct else 0.0
        first = distinct[: self.maximum]
        return tuple(hit for place, hit in enumerate(first) if place < self.minimum or hit.score >= least)

    @property
    def name(self) -> str:
        """In a few words, for tables."""
        always = self.floor == 0 or self.minimum == self.maximum
        count = f"{self.maximum}" if always else f"{self.minimum}-{self.maximum}"
        kept = f"{count} chunks" if self.floor == 0 or self.maximum <= 5 else f"{count} chunks above {self.floor:g}"
        kept = kept if self.k == DEFAULT_K else f"{kept}, of {self.k}"
        if self.reranker == RERANKER:
            return kept
        return f"{kept}, not reranked" if self.reranker == "none" else f"{kept}, reranked by {self.reranker}"


DEFAULT_K = RetrievalSettings().k
RERANKER = "embedded"
"""What reorders in the set-ups that are tried, unless they say otherwise."""
USUAL = Evidence(DEFAULT_K, RERANKER, **SelectSettings().model_dump())
"""What is sent where nobody has set anything else."""
EVERY_CHUNK = Evidence(DEFAULT_K, "none", DEFAULT_K, DEFAULT_K)
"""The naive way."""


def exactly(count: int, k: int = DEFAULT_K) -> Evidence:
    return Evidence(k, RERANKER, count, count)


def by_score(floor: float, k: int = DEFAULT_K) -> Evidence:
    """As many as the scores call for: few where one chunk stands out, all where none does."""
    return Evidence(k, RERANKER, min(LEAST, k), k, floor)


@dataclass(frozen=True, slots=True)
class Worth:
    """The mean tokens that a way sends, and the share of questions whose answer they hold."""

    evidence: Evidence
    tokens: float
    in_context: float


async def weigh(ways: Sequence[Evidence], data: Dataset, library: Library, name: str) -> list[Worth]:
    """What each way is worth on the data's cases; questions are searched once per K and reranker, in one index."""
    found: list[Worth] = []
    scorer = Scorer.of(data)
    for k, reranker in dict.fromkeys((way.k, way.reranker) for way in ways):
        alike = [way for way in ways if (way.k, way.reranker) == (k, reranker)]
        settings = Base(environment={}).settings({"cache": {"prefix": False, "answers": False}}, alike[0].overlay())
        found += await _weigh(alike, data, settings, scorer, await library.copy(data, settings, name))
    return found


async def _weigh(
    ways: Sequence[Evidence], data: Dataset, settings: Settings, scorer: Scorer, copy: Copy
) -> list[Worth]:
    settings = settings.model_copy(update={"store": settings.store.model_copy(update={"path": copy.path})})
    sums: dict[Evidence, list[tuple[float, float]]] = {way: [] for way in ways}
    async with Ragkit.open(settings) as rag:
        system = RagkitSystem(rag, copy.homes)
        for case in data.cases:
            hits = await rag.search(system.query(case))
            distinct = distinct_of(hits, ways)
            holds = _holding(case, hits, scorer, copy.homes)
            for way, values in sums.items():
                kept = way.keep(hits, distinct)
                values.append(
                    (sum(hit.chunk.tokens for hit in kept), max((holds[hit.chunk.id] for hit in kept), default=0.0))
                )
    return [
        Worth(way, fmean(tokens for tokens, _ in values), fmean(score for _, score in values))
        for way, values in sums.items()
    ]


def distinct_of(hits: Sequence[Hit], ways: Sequence[Evidence]) -> tuple[Hit, ...]:
    """Those that the line would not leave out because a better one says the same, as far as one of the ways looks."""
    least, most = max(way.minimum for way in ways), max(way.maximum for way in ways)
    floor = min((way.floor for way in ways if way.minimum < way.maximum), default=0.0)
    return select(hits, minimum=least, maximum=most, token_budget=EVERYTHING, floor=floor)


def _holding(case: Case, hits: Sequence[Hit], scorer: Scorer, homes: Mapping[str, str]) -> dict[str, float]:
    """Which chunks hold the answer: some of them do where one of them does."""
    passages = {
        it.id: Passage(homes.get(it.source, it.source), it.text, it.tokens) for it in (hit.chunk for hit in hits)
    }
    return {chunk: scorer.in_context(case, (passage,)) or 0.0 for chunk, passage in passages.items()}


def worthwhile(found: Sequence[Worth]) -> list[Worth]:
    """Those that no other way beats with fewer tokens, the cheapest first."""
    best: list[Worth] = []
    for each in sorted(found, key=lambda it: (it.tokens, -it.in_context)):
        if not best or each.in_context > best[-1].in_context:
            best.append(each)
    return best
