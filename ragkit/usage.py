"""The noun of what a call is billed for; `ragkit.nouns` has it too."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import add, attrgetter


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call is billed for, in disjoint classes, so that its cost is a dot product with a price.

    Tokens, except `searches` (billed search units of rerankers). `input` excludes cached tokens. `output` is all billed
    output; `reasoning` tells how much of it was thinking and is the one field that is part of another.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_30m: int = 0
    cache_write_1h: int = 0
    cache_write_12h: int = 0
    output: int = 0
    reasoning: int = 0
    searches: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(add, _counts(self), _counts(other)))

    @property
    def prompt(self) -> int:
        """All tokens sent, cached or not: what context limits and length bands count."""
        return self.input + self.cache_read + self.cache_written

    @property
    def cache_written(self) -> int:
        """Tokens written to a provider's cache, whatever their lifetime."""
        return self.cache_write_5m + self.cache_write_30m + self.cache_write_1h + self.cache_write_12h


_counts = attrgetter(*(field.name for field in fields(Usage)))
