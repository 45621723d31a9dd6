"""Receipts as JSON for machines and as text for people."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC
from typing import Any

from ragkit.bill import SIMULATED
from ragkit.money import format_usd
from ragkit.nouns import Event, Receipt, Usage
from ragkit.savings import ABSTAINED

SHOWN_USAGE = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
"""Classes that every event shows in JSON; the others appear when they were used."""
SHORT = {
    "input": "in",
    "cache_read": "read",
    "cache_write_5m": "written 5m",
    "cache_write_30m": "written 30m",
    "cache_write_1h": "written 1h",
    "cache_write_12h": "written 12h",
    "output": "out",
    "searches": "searches",
}


def receipt_to_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt in the public interface: money as decimal strings of dollars, null where it is unknown."""
    return {
        "id": receipt.id,
        "at": receipt.at.astimezone(UTC).isoformat(),
        "events": [_event_to_json(event) for event in receipt.events],
        "cost_usd": _usd(receipt.cost_pico),
        "baseline_usd": _usd(receipt.baseline_pico),
        "saved_usd": _usd(receipt.saved_pico),
        "savings": [{"lever": saving.lever, "usd": _usd(saving.pico)} for saving in receipt.savings],
        "baseline_note": receipt.baseline_note,
        "price_version": receipt.price_version,
    }


def render_receipt(receipt: Receipt) -> str:
    """The receipt for a terminal: an aligned line per event, then the total against the baseline."""
    rows = [_event_cells(event) for event in receipt.events]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = [f"receipt {receipt.id}  {receipt.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC  prices {receipt.price_version}"]
    for kind, model, usage, cost, reason in rows:
        cells = (kind.ljust(widths[0]), model.ljust(widths[1]), usage.ljust(widths[2]), cost.rjust(widths[3]), reason)
        lines.append("  " + "  ".join(cells).rstrip())
    lines += _totals(receipt)
    return "\n".join(lines)


def _event_to_json(event: Event) -> dict[str, Any]:
    usage = {field.name: getattr(event.usage, field.name) for field in fields(Usage)}
    shown = {name: count for name, count in usage.items() if name in SHOWN_USAGE or count}
    optional = {
        "lane": None if event.lane == "standard" else event.lane,
        "estimated": event.estimated or None,
        "simulated": _simulated(event) or None,
        "tier": event.tier,
        "price_row": event.price_row or None,
        "reported_usd": None if event.reported_pico is None else _usd(event.reported_pico),
        "request_id": event.request_id,
    }
    return {
        "kind": event.kind,
        "model": event.model,
        "usage": shown,
        "cost_usd": _usd(event.cost_pico),
        "attempt": event.attempt,
        "reason": event.reason,
        "seconds": round(event.seconds, 6),
        **{key: value for key, value in optional.items() if value is not None},
    }


def _event_cells(event: Event) -> tuple[str, str, str, str, str]:
    kind = event.kind if event.attempt == 1 else f"{event.kind} #{event.attempt}"
    model = event.model if event.lane == "standard" else f"{event.model} ({event.lane})"
    reason = f"{event.seconds:.2f} s  {event.reason}"
    return kind, model, _usage_text(event), _money(event.cost_pico), reason


def _usage_text(event: Event) -> str:
    counts = [(getattr(event.usage, name), word) for name, word in SHORT.items()]
    words = [f"{count:,} {word}" for count, word in counts if count]
    if event.usage.reasoning:
        words.append(f"({event.usage.reasoning:,} of it thinking)")
    if event.estimated:
        words.append("(estimated)")
    return " ".join(words) or "no tokens"


def _totals(receipt: Receipt) -> list[str]:
    cost, saved = receipt.cost_pico, receipt.saved_pico
    simulated = " (simulated)" if any(map(_simulated, receipt.events)) else ""
    lines = [
        f"  cost      {_money(cost)}{simulated}",
        f"  baseline  {_money(receipt.baseline_pico)}  {receipt.baseline_note}",
    ]
    if saved is None:
        return [*lines, "  saved     unknown: the cost of a call is not known, so no saving is claimed"]
    share = f" ({saved / receipt.baseline_pico:.1%})" if receipt.baseline_pico else ""
    levers = ", ".join(f"{saving.lever} {_money(saving.pico)}" for saving in receipt.savings)
    lines.append(f"  saved     {_money(saved)}{share}" + (f": {levers}" if levers else ""))
    declined = sum(saving.pico for saving in receipt.savings if saving.lever == ABSTAINED)
    return (
        [*lines, f"  declined  {_money(declined)} of it: there is no answer, and none was paid for"]
        if declined
        else lines
    )


def _simulated(event: Event) -> bool:
    return event.reason.startswith(SIMULATED)


def _money(pico: int | None) -> str:
    if pico is None:
        return "unknown"
    return f"-${format_usd(-pico)}" if pico < 0 else f"${format_usd(pico)}"


def _usd(pico: int | None) -> str | None:
    return None if pico is None else format_usd(pico)
