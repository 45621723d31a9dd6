"""From a result to an answer that is verified and billed, exactly once however often it is tried.

The receipt's id belongs to the item, and everything on the receipt is read from the journal and from the provider's
result, so that a second try makes the same receipt, which the ledger then knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ragkit.batch import Result
from ragkit.batches.job import Asked, Item, Job, Part
from ragkit.calls.attempt import Attempt
from ragkit.checkout import Order, Payer
from ragkit.citation import Rules, verify
from ragkit.errors import InvalidAnswer
from ragkit.ledger import Hold, Purchase
from ragkit.nouns import Completion
from ragkit.outcome import Outcome, answer_of
from ragkit.present import answer_to_json
from ragkit.receipt import receipt_to_json
from ragkit.structured import AnswerSchema

LEASE = 4 * 86_400.0
"""Seconds that money is held: three tries of a day each, and a day to collect."""
REASON = "batch"


@dataclass(frozen=True, slots=True)
class Desk:
    """What settling needs of a job: who pays, and how answers are read."""

    payer: Payer
    answer_as: AnswerSchema
    rules: Rules


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
    order.record(_attempt(result, item, asked, part), model, prompt)
    outcome: Outcome | None = None
    reason = result.reason
    if result.completion is not None:
        try:
            outcome = _read(result.completion, asked, desk)
        except InvalidAnswer as error:
            reason = str(error)
    receipt = await order.close(answered=outcome is not None)
    if outcome is None:
        return replace(item, state="failed", reason=reason, answer={"receipt": receipt_to_json(receipt)})
    seconds = {"batch": _seconds(part)}
    answer: Mapping[str, Any] = answer_to_json(answer_of(outcome, receipt, seconds))
    return replace(item, state="answered", reason="", answer=answer)


def _read(completion: Completion, asked: Asked, desk: Desk) -> Outcome:
    """A refusal and a cut answer are results that were paid for, and no answers."""
    if completion.stop == "refusal":
        raise InvalidAnswer(f"'{asked.route.model.id}' refuses to answer: rephrase the question")
    if completion.stop == "length":
        raise InvalidAnswer(f"the answer was cut at {asked.request.max_output} tokens: raise answer.max_output")
    prompt = asked.request.prompt
    verified = verify(desk.answer_as.parse(completion.text), prompt.citable, desk.rules)
    return Outcome(asked.hits, verified, asked.route, prompt.prefix, asked.notes)


def _attempt(result: Result, item: Item, asked: Asked, part: Part) -> Attempt:
    model, completion = asked.route.model, result.completion
    return Attempt(
        "generate",
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
    )


def _ended(part: Part) -> datetime:
    """Answers are priced on the day on which their batch ended, by the provider's clock."""
    if part.ended is None:
        raise RuntimeError(f"part {part.id} has not ended")
    return part.ended


def _seconds(part: Part) -> float:
    return max(0.0, (_ended(part) - part.sent).total_seconds()) if part.sent else 0.0
