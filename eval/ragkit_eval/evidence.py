"""How much of what is found goes out: ways to keep chunks, and what each is worth on known questions.

Nothing is asked of a model: a way is worth the share of questions whose answer stands in what it keeps, and costs the
tokens that it sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ragkit.nouns import Hit
from ragkit.rag import Ragkit
from ragkit.select import select
from ragkit.settings import RetrievalSettings, SelectSettings
from ragkit_eval.cases import Dataset
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import Passage
from ragkit_eval.sandbox import Base, Library
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

    def keep(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """Of ranked hits, as the line keeps them."""
        return select(
            hits, minimum=self.minimum, maximum=self.maximum, token_budget=self.token_budget, floor=self.floor
        )

    @property
    def name(self) -> str:
        """In a few words, for tables."""
        count = f"{self.minimum}" if self.minimum == self.maximum else f"{self.minimum}-{self.maximum}"
        kept = f"{count} chunks" if self.floor == 0 or self.maximum <= 5 else f"{count} chunks above {self.floor:g}"
        return kept if self.k == DEFAULT_K else f"{kept}, of {self.k}"


DEFAULT_K = RetrievalSettings().k
USUAL = Evidence(DEFAULT_K, "embedded", **SelectSettings().model_dump())
"""What is sent where nobody has set anything else."""
EVERY_CHUNK = Evidence(DEFAULT_K, "none", DEFAULT_K, DEFAULT_K)
"""The naive way."""


def exactly(count: int, k: int = DEFAULT_K) -> Evidence:
    return Evidence(k, "embedded", count, count)


def by_score(floor: float, k: int = DEFAULT_K) -> Evidence:
    """As many as the scores call for: few where one chunk stands out, all where none does."""
    return Evidence(k, "embedded", min(LEAST, k), k, floor)


@dataclass(frozen=True, slots=True)
class Worth:
    """The mean tokens that a way sends, and the share of questions whose answer they hold."""

    evidence: Evidence
    tokens: float
    in_context: float


async def weigh(ways: Sequence[Evidence], data: Dataset, library: Library, name: str) -> list[Worth]:
    """What each way is worth on the data's cases; questions are searched once per K and reranker."""
    found: list[Worth] = []
    for k, reranker in dict.fromkeys((way.k, way.reranker) for way in ways):
        alike = [way for way in ways if (way.k, way.reranker) == (k, reranker)]
        found += await _weigh(alike, data, library, f"{name}-{k}-{reranker}")
    return found


async def _weigh(ways: Sequence[Evidence], data: Dataset, library: Library, name: str) -> list[Worth]:
    settings = Base(environment={}).settings({"cache": {"prefix": False, "answers": False}}, ways[0].overlay())
    copy = await library.copy(data, settings, name)
    settings = settings.model_copy(update={"store": settings.store.model_copy(update={"path": copy.path})})
    scorer = Scorer.of(data)
    sums: dict[Evidence, list[tuple[float, float]]] = {way: [] for way in ways}
    async with Ragkit.open(settings) as rag:
        system = RagkitSystem(rag, copy.homes)
        for case in data.cases:
            hits = await rag.search(system.query(case))
            for way, values in sums.items():
                chunks = [hit.chunk for hit in way.keep(hits)]
                seen = [Passage(copy.homes.get(it.source, it.source), it.text, it.tokens) for it in chunks]
                values.append((sum(it.tokens for it in chunks), scorer.in_context(case, seen) or 0.0))
    return [
        Worth(way, fmean(tokens for tokens, _ in values), fmean(score for _, score in values))
        for way, values in sums.items()
    ]


def worthwhile(found: Sequence[Worth]) -> list[Worth]:
    """Those that no other way beats with fewer tokens, the cheapest first."""
    best: list[Worth] = []
    for each in sorted(found, key=lambda it: (it.tokens, -it.in_context)):
        if not best or each.in_context > best[-1].in_context:
            best.append(each)
    return best
