"""How well each quotable unit of some chunks fits a question: numbers that judges and extractors weigh.

Only words, their rarity, order and kind are looked at: no model, no download.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ragkit.nouns import Chunk
from ragkit.words.question import Asked, Kind, ask
from ragkit.words.reading import MEASURE, Words, answers, read
from ragkit.words.text import words


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit of a chunk with its features, in the order of `FEATURES`."""

    chunk: Chunk
    place: int
    words: Words
    features: tuple[float, ...]

    @property
    def text(self) -> str:
        return self.words.text


FEATURES = (
    "cover", "cover_near", "cover_local", "marked", "marked_near", "pairs", "rarest", "density", "novelty",
    "cover_after", "cover_chunk", "rank", "first", "length", "heading", "item", "row", "code", "asks", "leads_in",
    "who", "when", "where", "number", "why", "how", "definition", "measure", "refers_back",
)  # fmt: skip


FEWEST_REPEATED = 4
"""Words that a question has at least before saying the same counts as repeating it."""
_WORD = re.compile(r"\w+")

FITTED: tuple[Kind, ...] = ("who", "when", "where", "number", "why", "how", "definition")
"""Kinds of questions whose answers show; the names are features too."""


def match(question: str, chunks: Sequence[Chunk]) -> tuple[Candidate, ...]:
    """Every unit of the chunks, best chunk first, with its features; but none that only repeats the question."""
    texts = [read(chunk.text) for chunk in chunks]
    scale = _scale(question, texts)
    return tuple(
        candidate
        for rank, (chunk, text) in enumerate(zip(chunks, texts, strict=True))
        for candidate in _match_chunk(scale, chunk, text, rank)
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a question's words weigh: in the world, and among the units at hand, where a rare one tells more."""

    asked: Asked
    said: str
    total: float
    spread: Mapping[str, float]
    spread_total: float
    rarest: str

    def share(self, found: Collection[str]) -> float:
        """What the words found weigh, of all that is asked."""
        return sum(map(self.asked.weights.__getitem__, found)) / self.total if found else 0.0

    def share_here(self, found: Collection[str]) -> float:
        return sum(map(self.spread.__getitem__, found)) / self.spread_total if found else 0.0


def _plain(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _repeats(scale: _Scale, unit: Words) -> bool:
    """Whether a unit says the question again, as a list of questions or an example of use does, and little more."""
    asked = scale.said.count(" ") - 1
    if asked < FEWEST_REPEATED or len(unit.order) < asked or not scale.asked.stems <= unit.all:
        return False
    if scale.said not in _plain(unit.text):
        return False
    return unit.unit.kind == "code" or len(unit.order) < 2 * asked


def _scale(question: str, texts: Sequence[Sequence[Words]]) -> _Scale:
    asked = ask(question)
    every = [unit.all for text in texts for unit in text]
    spread = {
        stem: base * math.log1p(len(every) / (1 + sum([stem in unit for unit in every])))
        for stem, base in asked.weights.items()
    }
    rarest = max(spread, key=lambda stem: (spread[stem], stem), default="")
    return _Scale(
        asked, _plain(question), sum(asked.weights.values()) or 1.0, spread, sum(spread.values()) or 1.0, rarest
    )


def _match_chunk(scale: _Scale, chunk: Chunk, text: Sequence[Words], rank: int) -> list[Candidate]:
    asked = scale.asked
    title = asked.stems.intersection(words(" ".join((chunk.title, *chunk.section, chunk.context))))
    repeats = [_repeats(scale, unit) for unit in text]
    held = [frozenset() if told else asked.stems & unit.all for unit, told in zip(text, repeats, strict=True)]
    around = (scale.share(title.union(*held)), 1 / (1 + rank))
    found = []
    for place, (unit, context) in enumerate(zip(text, _contexts(text, held), strict=True)):
        before = scale.share(context) if unit.refers_back else 0.0
        after = scale.share(held[place + 1]) if place + 1 < len(text) else 0.0
        coverage = _coverage(scale, unit, held[place], held[place] | context | title)
        features = (*coverage, after, *around, *_shape(unit, place), *_fit(asked, unit), before)
        if not repeats[place]:
            found.append(Candidate(chunk, place, unit, features))
    return found


def _contexts(text: Sequence[Words], held: Sequence[frozenset[str]]) -> Iterator[frozenset[str]]:
    """What a reader of each unit has in mind: the sentence before, what that one refers back to, the heading."""
    heading = carried = frozenset[str]()
    for unit, words_held in zip(text, held, strict=True):
        yield carried | heading
        if unit.unit.kind == "heading":
            heading, carried = words_held, frozenset()
        else:
            carried = words_held | carried if unit.refers_back else words_held


def _coverage(scale: _Scale, unit: Words, held: frozenset[str], near: frozenset[str]) -> tuple[float, ...]:
    """How much of the question the unit covers, alone and with what stands before it."""
    asked = scale.asked
    marked = len(asked.marked)
    pairs = len(asked.pairs.intersection(pairwise(unit.order))) if len(held) > 1 else 0
    cover = scale.share(held)
    return (
        cover,
        scale.share(near),
        scale.share_here(held),
        len(asked.marked & held) / marked if marked else 0.5,
        len(asked.marked & near) / marked if marked else 0.5,
        pairs / (len(asked.pairs) or 1),
        float(scale.rarest in held),
        cover * scale.total / math.sqrt(1 + unit.held),
        min(12, unit.telling - len(held)) / 12,
    )


def _shape(unit: Words, place: int) -> tuple[float, ...]:
    kind = unit.unit.kind
    return (
        float(place == 0),
        math.log1p(len(unit.order)) / 4,
        float(kind == "heading"),
        float(kind == "item"),
        float(kind == "row"),
        float(kind == "code"),
        float(unit.asks),
        float(unit.leads_in),
    )


def _fit(asked: Asked, unit: Words) -> tuple[float, ...]:
    """1 where the unit has what the question's kind asks for, -1 where it has not, 0 for all other kinds."""
    if asked.kind in FITTED:
        fits = 1.0 if answers(asked.kind, unit, asked.stems) else -1.0
    measured = 0.0 if not asked.measure else 1.0 if MEASURE.search(unit.text) else -1.0
    return (*(fits if kind == asked.kind else 0.0 for kind in FITTED), measured)
