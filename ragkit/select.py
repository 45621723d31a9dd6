"""From reranked hits to the few that are sent: by score gap, token budget and near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from ragkit.nouns import Hit
from ragkit.words.text import words

SHINGLE = 4
"""Words per shingle: long enough that shared phrases are not duplicates, short enough for small edits to show."""

SAME = 0.8
"""Share of the shorter text's shingles found in the longer one from which on they say the same."""

FLOOR = 0.1
"""With scores that are probabilities: what is ten times less likely than the best is rarely what is missing."""


def select(
    hits: Sequence[Hit], *, minimum: int = 3, maximum: int = 5, token_budget: int = 2400, floor: float = FLOOR
) -> tuple[Hit, ...]:
    """Keep `minimum` to `maximum` hits in their order; fewer where the budget or duplicates leave fewer.

    A hit beyond the minimum stays while its score is at least the share `floor` of the best one's: a clear winner
    stands nearly alone, and a question without one gets more to look through. The best hit is always kept, so that a
    budget smaller than every chunk still leaves something to answer from.
    """
    least = floor * hits[0].score if hits else 0.0
    kept: list[Hit] = []
    seen: list[_Said] = []
    spent = 0
    for hit in hits:
        if len(kept) == maximum or (len(kept) >= minimum and hit.score < least):
            break
        if kept and spent + hit.chunk.tokens > token_budget:
            continue
        said = _Said(hit.chunk.text)
        if any(map(said.same, seen)):
            continue
        kept.append(hit)
        seen.append(said)
        spent += hit.chunk.tokens
    return tuple(kept)


def scarce(minimum: int, maximum: int) -> int:
    """How many hits are kept where a budget is nearly used up: the least that are wanted anyway, or three of five."""
    return max(1, min(minimum, maximum * 3 // 5))


class _Said:
    """What a text says: its words, and its shingles where they are asked for."""

    def __init__(self, text: str) -> None:
        self._order = words(text)
        self._words = set(self._order)

    @cached_property
    def _shingles(self) -> set[tuple[str, ...]]:
        return set(zip(*(self._order[first:] for first in range(min(SHINGLE, len(self._order)))), strict=False))

    def same(self, other: _Said) -> bool:
        if not self._may_be_in(other) and not other._may_be_in(self):
            return False
        shorter = min(len(self._shingles), len(other._shingles))
        return shorter > 0 and len(self._shingles & other._shingles) >= SAME * shorter

    def _may_be_in(self, other: _Said) -> bool:
        """A word that the other lacks breaks a shingle, unless it is among the last: few texts need be compared so."""
        missing = len(self._words) - len(self._words & other._words)
        return missing <= (1 - SAME) * len(self._order) + SHINGLE - 1
