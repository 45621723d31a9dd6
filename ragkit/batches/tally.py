"""What jobs of any size have come to, without their items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ragkit.batches.job import Item, Job
from ragkit.money import PICO_PER_USD, format_usd

MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Tally:
    """A job's items by state, what is held for them and what they cost, None as soon as one cost is unknown.

    `unused` were paid for and had no place any more. Of the different `reasons` of what failed, and of the `remarks` on
    what was answered, the first twenty.
    """

    job: Job
    counts: Mapping[str, int]
    held_pico: int = 0
    cost_pico: int | None = 0
    unused: int = 0
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, job: Job, items: Iterable[Item]) -> Tally:
        counts: Counter[str] = Counter()
        held = cost = unknown = unused = 0
        told: dict[str, dict[str, None]] = {"failed": {}, "answered": {}}
        for item in items:
            counts[item.state] += 1
            held += item.hold_pico if item.state == "planned" else 0
            if item.answer is not None:
                spent = cost_of(item)
                unknown, cost = unknown + (spent is None), cost + (spent or 0)
                unused += item.state == "answered" and not item.answer.get("applied", True)
            if item.reason and len(found := told.get(item.state, {})) < MOST_REASONS:
                found[item.reason] = None
        reasons, remarks = map(tuple, told.values())
        return cls(job, counts, held, None if unknown else cost, unused, reasons, remarks)

    @property
    def open(self) -> int:
        """Items whose result is to come."""
        return sum(self.counts.values()) - self.counts.get("answered", 0) - self.counts.get("failed", 0)


@dataclass(frozen=True, slots=True)
class Bills:
    """What several jobs hold and cost."""

    jobs: tuple[Tally, ...] = ()

    @property
    def held_pico(self) -> int:
        return sum(job.held_pico for job in self.jobs)

    @property
    def cost_pico(self) -> int | None:
        """What was bought by these jobs so far; None as soon as a part of it is unknown."""
        costs = [job.cost_pico for job in self.jobs]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def money(self) -> str:
        """For people."""
        cost = "unknown" if self.cost_pico is None else f"${format_usd(self.cost_pico)}"
        return f"cost {cost}, held ${format_usd(self.held_pico)}"

    @property
    def usd(self) -> dict[str, str | None]:
        """For machines: decimal strings of dollars."""
        cost = None if self.cost_pico is None else format_usd(self.cost_pico)
        return {"held_usd": format_usd(self.held_pico), "cost_usd": cost}


def cost_of(item: Item) -> int | None:
    """In pico-dollars, from the receipt's decimal string."""
    told = None if item.answer is None else item.answer["receipt"]["cost_usd"]
    return None if told is None else int(Decimal(told) * PICO_PER_USD)
