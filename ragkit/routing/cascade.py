"""Whether an answer that failed its check is worth asking a better model: once, and where that should pay. Pure."""

from __future__ import annotations

from dataclasses import dataclass

ABSTAINS_RIGHTLY, ABSTAINS_WRONGLY = 0.9, 0.2
"""How often a model abstains where the passages hold no answer, and where they do: assumptions on the cautious side."""
FAILS = 0.2
"""How often a first answer is expected to fail its check, before any was seen."""
PRIOR_ANSWERS = 20
"""Answers that this expectation counts for beside those that were seen."""
LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers of one tier that were checked, and those that failed."""

    checked: int = 0
    failed: int = 0

    @property
    def failing(self) -> float:
        """The chance that the next one fails."""
        return (self.failed + FAILS * PRIOR_ANSWERS) / (self.checked + PRIOR_ANSWERS)

    def add(self, *, failed: bool) -> Tally:
        return Tally(self.checked + 1, self.failed + failed)


def pays(first_pico: int, second_pico: int, failing: float) -> bool:
    """Whether the cheaper model first, and the better one where it fails, costs less than the better one at once."""
    return first_pico + failing * second_pico < second_pico


def answerable(evidence: float, *, unsupported: bool) -> float:
    """The chance that the passages do hold an answer though none came.

    That a model abstains speaks against it; that it wrote what its sources do not bear out does not.
    """
    if unsupported:
        return evidence
    missed, right = evidence * ABSTAINS_WRONGLY, (1 - evidence) * ABSTAINS_RIGHTLY
    return missed / (missed + right)


def worth_asking(evidence: float, *, unsupported: bool) -> bool:
    """Whether a better model is likely to find what the first one did not."""
    return answerable(evidence, unsupported=unsupported) >= LIKELY
