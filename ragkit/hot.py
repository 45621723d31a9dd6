"""Which chunks deserve a place in the prefix: pure, from how often they are selected and what a token costs where.

A chunk of t tokens that a share q of the questions selects saves q i t, since it is not sent again, and costs c t in
every question, where c is what a token of the prefix costs on average. It earns its place when q i > c. A newcomer has
to be clearly better than that and one that is there clearly worse, or chance would rewrite the prefix all the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

from ragkit.nouns import Chunk

REMEMBERED = 500
"""Questions after which an old one counts for little."""
KNOWN_CHUNKS = 2_000
"""Chunks that are counted per kind of question; the least asked are forgotten first."""
ENOUGH = 20
"""Questions before which nothing is believed to be hot."""
ENTER, STAY = 1.2, 0.85
"""How far a chunk's worth must exceed its cost to come in, and may fall below it before it goes."""


@dataclass(slots=True)
class Demand:
    """How often each chunk is selected by the questions of one tenant and access class: decayed counts."""

    questions: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)
    scale: float = 1.0

    def add(self, selected: Collection[str]) -> None:
        """A question has selected these chunks. Old counts fade by growing what a new one counts."""
        self.scale /= 1 - 1 / REMEMBERED
        self.questions += self.scale
        for chunk in selected:
            self.weights[chunk] = self.weights.get(chunk, 0.0) + self.scale
        if self.scale > 1e9 or len(self.weights) > KNOWN_CHUNKS * 1.25:
            self._tidy()

    @property
    def seen(self) -> float:
        """Questions, as far as they are remembered."""
        return self.questions / self.scale

    def rate(self, chunk: str) -> float:
        """The share of questions that select a chunk."""
        return self.weights.get(chunk, 0.0) / self.questions if self.questions else 0.0

    def sure_rate(self, chunk: str) -> float:
        """The share that a chunk has, one standard error below what was seen."""
        count = self.weights.get(chunk, 0.0) / self.scale
        return max(0.0, count - sqrt(count)) / self.seen if self.questions else 0.0

    def forget(self, chunks: Collection[str]) -> None:
        """These chunks are gone or changed."""
        for chunk in chunks:
            self.weights.pop(chunk, None)

    def _tidy(self) -> None:
        best = sorted(self.weights, key=lambda chunk: (-self.weights[chunk], chunk))[:KNOWN_CHUNKS]
        self.weights = {chunk: self.weights[chunk] / self.scale for chunk in best}
        self.questions, self.scale = self.questions / self.scale, 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may be hot, its size in the model's tokens, and the share of questions that select it."""

    chunk: Chunk
    tokens: int
    rate: float
    sure_rate: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What a token costs: `plain` where a question sends it, `average` in the prefix, in one unit.

    `head` are the tokens before the documents, which share the mark; `minimum` and `maximum` bound head and documents.
    """

    plain: float
    average: float
    head: int
    minimum: int
    maximum: int


def select_hot(candidates: Sequence[Candidate], costs: Costs, held: Collection[str] = ()) -> tuple[Candidate, ...]:
    """The chunks that earn their place, the densest in value first, as far as there is room; none where all do not pay.

    Where those that earn it are too few to be cached at all, the next best fill up, if the whole still pays.
    """
    ranked = sorted(candidates, key=lambda it: (-it.rate, it.chunk.id))
    chosen: list[Candidate] = []
    size = costs.head
    for candidate in ranked:
        earns = _earns(candidate, costs, candidate.chunk.id in held)
        fills = size < costs.minimum and candidate.sure_rate > 0
        if (earns or fills) and size + candidate.tokens <= costs.maximum:
            chosen.append(candidate)
            size += candidate.tokens
    pays = size >= costs.minimum and value(chosen, costs) > 0
    return tuple(chosen) if pays else ()


def value(chosen: Sequence[Candidate], costs: Costs) -> float:
    """What a question saves on average with these chunks in the prefix, the head's own saving included."""
    documents = sum(it.tokens * (it.rate * costs.plain - costs.average) for it in chosen)
    return costs.head * (costs.plain - costs.average) + documents


def in_prefix_order(chosen: Sequence[Candidate]) -> tuple[Chunk, ...]:
    """Chunks by document, the most asked document first, ties by id; each document as it reads.

    Rates are compared by halves, so that documents asked about equally often do not change places by chance.
    """
    heat: dict[str, float] = {}
    for it in chosen:
        heat[it.chunk.document_id] = max(heat.get(it.chunk.document_id, 0.0), it.rate)
    order = {document: (_level(rate), document) for document, rate in heat.items()}
    chunks = [it.chunk for it in chosen]
    return tuple(sorted(chunks, key=lambda chunk: (order[chunk.document_id], chunk.start, chunk.end, chunk.id)))


def held_tokens(sizes: Mapping[str, int], selected: Collection[str]) -> int:
    """Tokens of the prefix that a question would have sent anyway."""
    return sum(sizes.get(chunk, 0) for chunk in selected)


def _earns(candidate: Candidate, costs: Costs, held: bool) -> bool:
    if held:
        return candidate.rate * costs.plain > costs.average * STAY
    return candidate.sure_rate * costs.plain > costs.average * ENTER


def _level(rate: float) -> int:
    """How many halvings below every question: 0 for more than half of them, 1 for more than a quarter."""
    level = 0
    while rate <= 0.5 and level < 20:
        rate, level = rate * 2, level + 1
    return level
