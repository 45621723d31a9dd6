"""Whether two set-ups differ: a paired bootstrap over the questions that both answered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of the second less the first with its interval, over `pairs` questions.

    `certain` says that the interval does not hold zero.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def certain(self) -> bool:
        return self.low > 0 or self.high < 0


def compare(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0, draws: int = DRAWS, level: float = 0.95
) -> Difference:
    """Compare two set-ups question by question."""
    gaps = [after - before for before, after in zip(first, second, strict=True)]
    low, high = interval(gaps, seed=seed, draws=draws, level=level)
    return Difference(fmean(gaps) if gaps else 0.0, low, high, len(gaps))


def interval(values: Sequence[float], *, seed: int = 0, draws: int = DRAWS, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean, by drawing with replacement."""
    if not values or min(values) == max(values):
        return (values[0], values[0]) if values else (0.0, 0.0)
    rng = random.Random(seed)  # noqa: S311
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(draws))
    tail = (1 - level) / 2
    return means[int(tail * draws)], means[min(draws - 1, int((1 - tail) * draws))]
