"""Whether a receipt can be computed again from itself and the price table: amounts, baseline and sums. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit.errors import UnpricedModel
from ragkit.models import Catalogue
from ragkit.money import format_usd
from ragkit.nouns import Event, Receipt
from ragkit.savings import reprice_baseline


def differences(receipt: Receipt, catalogue: Catalogue) -> tuple[str, ...]:
    """What does not come out the same today, in words; nothing where the receipt proves itself."""
    return tuple(_differences(receipt, catalogue))


def _differences(receipt: Receipt, catalogue: Catalogue) -> Iterator[str]:
    for event in receipt.events:
        if (again := _reprice(event, receipt, catalogue)) != event.cost_pico:
            yield f"{event.kind} by {event.model}: {_usd(event.cost_pico)} then, {_usd(again)} by today's table"
    try:
        baseline = reprice_baseline(receipt, catalogue)
    except UnpricedModel as error:
        yield f"baseline: {error}"
        baseline = None
    if baseline is not None and baseline != receipt.baseline_pico:
        yield f"baseline: {_usd(receipt.baseline_pico)} then, {_usd(baseline)} by today's table"
    if receipt.savings and sum(saving.pico for saving in receipt.savings) != receipt.saved_pico:
        yield "the savings do not add up to what was saved"


def _reprice(event: Event, receipt: Receipt, catalogue: Catalogue) -> int | None:
    """By the row that priced it: `MODEL@START`, then maybe `>LENGTH`, `/LANE` and `+REGION`; as it was without one."""
    if event.cost_pico is None or not event.price_row:
        return event.cost_pico
    model, _, row = event.price_row.partition("@")
    region = row.partition("+")[2] or None
    try:
        return catalogue.cost(event.usage, model, at=receipt.at, lane=event.lane, region=region).pico
    except UnpricedModel:
        return None


def _usd(pico: int | None) -> str:
    return "no price" if pico is None else f"${format_usd(pico)}"
