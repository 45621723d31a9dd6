"""From a result to an answer that is read and billed, exactly once however often it is tried.

The receipt's id belongs to the item, and everything on the receipt is read from the journal and from the provider's
result, so that a second try makes the same receipt, which the ledger then knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ragkit.batch import Result
from ragkit.batches.job import Asked, Item, Job, Part
from ragkit.batches.kind import Kind, Written
from ragkit.bill import is_simulated
from ragkit.calls.attempt import Attempt
from ragkit.checkout import Order, Payer
from ragkit.errors import InvalidAnswer
from ragkit.ledger import Hold, Purchase
from ragkit.nouns import EventKind
from ragkit.receipt import receipt_to_json

LEASE = 4 * 86_400.0
"""Seconds that money is held: three tries of a day each, and a day to collect."""
REASON = "batch"


@dataclass(frozen=True, slots=True)
class Desk:
    """What settling needs of a job: who pays, and how results are read."""

    payer: Payer
    kind: Kind


def purchase(item: Item, asked: Asked, job: Job) -> Purchase:
    """What an item may cost, under a name of its own, so that it is held once."""
    model = asked.route.model
    return Purchase(
        job.account, item.hold_pico, model.price_id or model.id, lane="batch", lease=LEASE, hold_id=item.hold
    )


def hold_of(item: Item, asked: Asked, job: Job) -> Hold:
    """The hold as the ledger has it; when it ends is the ledger's own business."""
    return Hold(item.hold, purchase(item, asked, job), job.at)


async def settle(result: Result, item: Item, asked: Asked, part: Part, job: Job, desk: Desk) -> Item:
    """Bill a result that was paid for; the item with its answer, or with the reason why there is none."""
    order = Order(replace(desk.payer, at=_ended(part)), item.receipt, asked.compared, [hold_of(item, asked, job)])
    prompt, model = asked.request.prompt, asked.route.model
    order.rendered(prompt, model.tier)
    order.record(_attempt(result, item, asked, part, desk.kind.event), model, prompt)
    written: Written | None = None
    reason = result.reason
    if result.completion is not None:
        try:
            written = desk.kind.read(result.completion, asked)
        except InvalidAnswer as error:
            reason = str(error)
    receipt = await order.close(answered=written is not None)
    if written is None:
        return replace(item, state="failed", reason=reason, answer={"receipt": receipt_to_json(receipt)})
    return replace(item, state="answered", reason="", answer=written(receipt, {"batch": _seconds(part)}))


def _attempt(result: Result, item: Item, asked: Asked, part: Part, event: EventKind) -> Attempt:
    model, completion = asked.route.model, result.completion
    return Attempt(
        event,
        model.provider,
        model.id,
        None if completion is None else completion.usage,
        _seconds(part),
        item.attempt,
        f"{asked.route.reason}; {REASON} {part.remote}",
        "ok" if completion is not None else "unreadable",
        lane="batch",
        request_id=None if completion is None else completion.request_id,
        reported_pico=None if completion is None else completion.reported_pico,
        simulated=is_simulated(part.remote),
    )


def _ended(part: Part) -> datetime:
    """Answers are priced on the day on which their batch ended, by the provider's clock."""
    if part.ended is None:
        raise RuntimeError(f"part {part.id} has not ended")
    return part.ended


def _seconds(part: Part) -> float:
    return max(0.0, (_ended(part) - part.sent).total_seconds()) if part.sent else 0.0
