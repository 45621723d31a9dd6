"""The bill of an answer while it is being made: every step is charged as it happens and none is ever lost."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ragkit.errors import UnpricedModel
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Receipt, Saving, Tier, Usage
from ragkit.savings import CALLS, NOTHING_ANSWERED, Baseline, Comparison, Counterfactual, Step
from ragkit.tokens import Size

if TYPE_CHECKING:
    from ragkit.calls.attempt import Attempt

SIMULATED = "simulated: "
"""Begins the reason of an event whose provider was a simulation."""
SIMULATED_ID = re.compile(r"^\w+_twin[0-9]")
"""Ids that `ragkit twin` gives its requests."""
NO_BASELINE = "not compared: no question was answered"


@dataclass(frozen=True, slots=True)
class Marks:
    """What reports group an attempt by: see `Event`."""

    tier: Tier | None = None
    prefix: str = ""
    chunks: int = 0
    evidence: int = 0
    size: Size = Size()


def is_question(receipt: Receipt) -> bool:
    """Whether somebody was answered, or a model was asked to; `ragkit.ledgers.rows` says the same in SQL.

    Searches, an ingest's vectors and contexts, prefixes kept warm and what prepares a batch are no questions, and
    neither is one that failed before a model was asked.
    """
    note = receipt.baseline_note
    compared = note != NO_BASELINE and NOTHING_ANSWERED not in note
    return compared or any(event.kind in CALLS for event in receipt.events)


def is_simulated(name: str | None) -> bool:
    """Whether `ragkit twin` has answered, by the id of a request, a batch or a cache, with or without its path."""
    return SIMULATED_ID.match((name or "").rpartition("/")[2]) is not None


def simulated_in(receipt: Receipt) -> int:
    """How much of what a receipt lists a simulation has billed, as far as its cost is known."""
    return sum(event.cost_pico or 0 for event in receipt.events if event.reason.startswith(SIMULATED))


class Bill:
    """Adds up the events of one answer, priced on the day on which it began (`at`), until `receipt` closes it.

    A step that was paid for but has no price is kept with an unknown cost: by then it is too late to refuse it. Whoever
    must refuse asks the catalogue before sending.
    """

    def __init__(self, catalogue: Catalogue, *, receipt_id: str, at: datetime, account: Account) -> None:
        self._catalogue = catalogue
        self._id, self._at, self._account = receipt_id, at, account
        self._steps: list[Step] = []

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(step.event for step in self._steps)

    @property
    def spent_pico(self) -> int | None:
        """What the events cost so far; None as soon as one of them is unknown."""
        costs = [event.cost_pico for event in self.events]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def charge(self, event: Event, *, price_id: str | None, region: str | None = None) -> Event:
        """Price an event by its usage and lane, and add it; None as `price_id` is free local work."""
        try:
            cost = self._catalogue.cost(event.usage, price_id, at=self._at, lane=event.lane, region=region)
        except UnpricedModel as error:
            return self._add(replace(event, cost_pico=None, reason=f"{event.reason}; {error}"), price_id, region)
        return self._add(replace(event, cost_pico=cost.pico, price_row=cost.row_id), price_id, region)

    def add(self, event: Event) -> Event:
        """Add an event that carries its own cost: None for unknown, an amount for the share of a machine of yours."""
        return self._add(event, None, None)

    def record(
        self, attempt: Attempt, *, price_id: str | None, region: str | None = None, marks: Marks | None = None
    ) -> Event:
        """Charge one attempt of the retry wrapper, failed or not; one whose usage nobody knows costs an unknown sum."""
        marks = marks or Marks()
        ended = "" if attempt.outcome == "ok" else attempt.outcome
        reason = (SIMULATED if attempt.simulated else "") + "; ".join(filter(None, (attempt.reason, ended)))
        event = Event(
            attempt.kind,
            attempt.model,
            attempt.usage or Usage(),
            None,
            attempt.seconds,
            reason,
            attempt.number,
            attempt.lane,
            estimated=attempt.estimated,
            reported_pico=attempt.reported_pico,
            request_id=attempt.request_id,
            tier=marks.tier,
            prefix=marks.prefix,
            chunks=marks.chunks,
            evidence=marks.evidence,
            estimate=marks.size.estimate,
            bound=marks.size.bound,
        )
        if attempt.usage is None and price_id is not None:
            return self._add(event, price_id, region)
        return self.charge(event, price_id=price_id, region=region)

    def receipt(self, counterfactual: Counterfactual | None) -> Receipt:
        """The receipt of all events so far, against what the same question would have cost without any lever.

        Without a counterfactual, or a price for it, the cost is the baseline: no saving is claimed.
        """
        if counterfactual is None:
            return self._receipt(self._uncompared(NO_BASELINE))
        try:
            compared = Comparison(counterfactual, self._steps, self._catalogue, self._at)
            savings = () if self.spent_pico is None else compared.savings()
            return self._receipt(compared.baseline(), savings)
        except UnpricedModel as error:  # what was bought must be on the ledger all the same
            return self._receipt(self._uncompared(f"not compared: {error}"))

    def _receipt(self, baseline: Baseline, savings: tuple[Saving, ...] = ()) -> Receipt:
        version = self._catalogue.version
        return Receipt(self._id, self._at, self._account, self.events, baseline.pico, baseline.note, version, savings)

    def _uncompared(self, why: str) -> Baseline:
        return Baseline(sum(event.cost_pico or 0 for event in self.events), why)

    def _add(self, event: Event, price_id: str | None, region: str | None) -> Event:
        if is_simulated(event.request_id) and not event.reason.startswith(SIMULATED):
            event = replace(event, reason=SIMULATED + event.reason)
        self._steps.append(Step(event, price_id, region))
        return event
