"""What a model's tokenizer makes of real prompts, learnt from the ledger: fairer estimates, and bounds that hold.

An estimate in tokens of a known tokenizer is scaled by a factor per model. Where the tokenizer is not public the factor
of the price table is a guess with a margin; prompts that the provider has counted tell the real one. A bound is lowered
only as far as the tokenizer turned out to make fewer tokens than was guessed, never below what known tokenizers need,
and raised where any prompt came near it: holds stay on the safe side.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ragkit.errors import LedgerError, UnpricedModel
from ragkit.ledger import Counted
from ragkit.models import Catalogue, ModelSpec

ENOUGH = 50
"""Prompts that a calibration needs before it is believed."""
REMEMBERED = 2_000
"""Prompts of a model that are looked at, the latest ones."""
SHORTEST = 500
"""Estimated tokens of a prompt that teaches: in shorter ones what the provider adds would pass for its tokenizer."""
REFRESH_SECONDS = 600.0
MARGIN = Fraction(11, 10)
FURTHEST = 3
"""How far, as a factor, anything that is learnt may be from the price table: beyond it somebody counts wrongly."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's real tokens per estimated one: the median, and what one prompt of twenty exceeds.

    `hardest` is the largest share of its bound, before any factor, that a prompt has needed.
    """

    median: Fraction
    high: Fraction
    hardest: Fraction
    prompts: int


def calibrate(counted: Iterable[Counted], *, enough: int = ENOUGH) -> Calibration | None:
    """What prompts of one model teach; None while they are too few."""
    told = [it for it in counted if it.estimate >= SHORTEST and it.bound > 0 and it.tokens > 0]
    if len(told) < enough:
        return None
    ratios = sorted(Fraction(it.tokens, it.estimate) for it in told)
    hardest = max(Fraction(it.tokens, it.bound) for it in told)
    return Calibration(ratios[len(ratios) // 2], ratios[len(ratios) * 19 // 20], hardest, len(ratios))


def calibrated(spec: ModelSpec, learnt: Calibration) -> ModelSpec:
    """The model with its factors as they were learnt, within reason."""
    typical = min(max(learnt.median, spec.typical / FURTHEST), spec.typical * FURTHEST)
    lowered = max(Fraction(1), spec.bound * min(Fraction(1), learnt.high / spec.typical))
    bound = max(lowered, min(learnt.hardest * MARGIN, spec.bound * FURTHEST))
    return replace(spec, typical=typical, bound=bound)


class Calibrations:
    """What was learnt of each model by now; read anew every few minutes, and done without when the ledger is away."""

    def __init__(
        self,
        catalogue: Catalogue,
        read: Callable[[int], Awaitable[Sequence[Counted]]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._read = read
        self._clock = clock
        self._due = float("-inf")
        self._specs: dict[str, ModelSpec] = {}
        self.learnt: dict[str, Calibration] = {}

    def spec(self, price_id: str) -> ModelSpec:
        """The model's facts, with factors as they were learnt."""
        return self._specs.get(price_id) or self._catalogue.model(price_id)

    @property
    def factors(self) -> Mapping[str, Fraction]:
        """Typical factors of the models that were learnt."""
        return {name: spec.typical for name, spec in self._specs.items()}

    async def refresh(self) -> None:
        """Learn from the latest prompts, if that was not done lately; what was learnt before stands if it fails."""
        if self._clock() < self._due:
            return
        self._due = self._clock() + REFRESH_SECONDS
        try:
            counted = await self._read(REMEMBERED)
        except LedgerError:
            return
        by_model: dict[str, list[Counted]] = {}
        for one in counted:
            by_model.setdefault(one.model, []).append(one)
        found = {model: calibrate(its) for model, its in by_model.items()}
        for model, learnt in found.items():
            if learnt is None:
                continue
            try:
                self._specs[model] = calibrated(self._catalogue.model(model), learnt)
            except UnpricedModel:  # its price was taken out of the table since
                continue
            self.learnt[model] = learnt
