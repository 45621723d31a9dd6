"""The twin's own price list, typed from the vendors' pages and not shared with ragkit, so that two sums can disagree.

Dollars per million tokens (per thousand for searches), in the order of `Row`. `-` means that the class is not sold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal

EPOCH = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """What a model costs from a day on, for prompts of more than `above` tokens."""

    input: Decimal
    output: Decimal
    read: Decimal
    write_5m: Decimal
    write_1h: Decimal
    write_30m: Decimal
    write_12h: Decimal
    search: Decimal
    since: date = EPOCH
    above: int = 0


CLASSES = tuple(field.name for field in fields(Row) if field.name not in ("since", "above"))


@dataclass(frozen=True, slots=True)
class Lane:
    """How a lane or region changes a row; reads have their own factor because some lanes do not discount them."""

    factor: Decimal
    read: Decimal


def _row(prices: str, since: date = EPOCH, above: int = 0) -> Row:
    values = [Decimal("NaN") if price == "-" else Decimal(price) for price in prices.split()]
    return Row(**dict(zip(CLASSES, values, strict=True)), since=since, above=above)


def _claude(base: str, output: str, read: str, since: date = EPOCH, above: int = 0) -> Row:
    price = Decimal(base)
    return _row(f"{base} {output} {read} {price * Decimal('1.25')} {price * 2} - - -", since, above)


def _gpt(prices: str, *, writes: bool = True) -> tuple[Row, Row]:
    """Input, output and read; the second row is for more than 272,000 tokens: twice, output half as much again."""
    base, output, read = (Decimal(price) for price in prices.split())
    short, long = Decimal("1.25") if writes else Decimal(0), Decimal("2.5") if writes else Decimal(0)
    low = f"{base} {output} {read} - - {base * short} {base * long} -"
    high = f"{base * 2} {output * 3 / 2} {read * 2} - - {base * 2 * short} {base * 2 * long} -"
    return _row(low), _row(high, above=272_000)


def _plain(prices: str, since: date = EPOCH, above: int = 0) -> Row:
    return _row(f"{prices} 0 0 0 0 -", since, above)


def _embedding(price: str) -> tuple[Row, ...]:
    return (_row(f"{price} 0 - - - - - -"),)


def _search(price: str) -> tuple[Row, ...]:
    return (_row(f"- - - - - - - {price}"),)


ROWS: dict[str, tuple[Row, ...]] = {
    "claude-haiku-5-5": (_claude("0.10", "0.50", "0.01"), _claude("0.50", "2.50", "0.05", above=100_000)),
    "claude-sonnet-5-5": (_claude("2", "10", "0.20"), _claude("2", "10", "0.10", since=date(2026, 10, 7))),
    "claude-opus-5-5": (_claude("4", "20", "0.20"),),
    "claude-fable-5-1": (_claude("10", "50", "0.25"),),
    "claude-opus-5": (_claude("5", "25", "0.50"),),
    "claude-opus-4-8": (_claude("5", "25", "0.50"),),
    "claude-opus-4-7": (_claude("5", "25", "0.50"),),
    "claude-opus-4-6": (_claude("5", "25", "0.50"),),
    "claude-opus-4-5": (_claude("5", "25", "0.50"),),
    "claude-sonnet-5": (_claude("2", "10", "0.20"),),
    "claude-sonnet-4-6": (_claude("3", "15", "0.30"),),
    "claude-sonnet-4-5": (_claude("3", "15", "0.30"),),
    "claude-haiku-4-5": (_claude("1", "5", "0.10"),),
    "gpt-6-luna": _gpt("0.10 0.50 0.01"),
    "gpt-6-luna-decisions": _gpt("0.10 0 0.01"),
    "gpt-6.1-terra": _gpt("1 5 0.05"),
    "gpt-6.1-sol": _gpt("2 10 0.10"),
    "gpt-6-sol": _gpt("2 10 0.20"),
    "gpt-6-astra": _gpt("10 50 1"),
    "gpt-5.6-luna": _gpt("0.20 1.20 0.02"),
    "gpt-5.6-terra": _gpt("2 12 0.20"),
    "gpt-5.6-sol": _gpt("4 20 0.40"),
    "gpt-5.5": _gpt("5 30 0.50", writes=False),
    "gpt-5.4": _gpt("2.50 15 0.25", writes=False),
    "gpt-5.4-mini": (_plain("0.75 4.50 0.075"),),
    "gpt-5.4-nano": (_plain("0.20 1.25 0.02"),),
    "gpt-5": (_plain("1.25 10 0.125"),),
    "gpt-5-mini": (_plain("0.25 2 0.025"),),
    "gpt-5-nano": (_plain("0.05 0.40 0.005"),),
    "gemini-2.5-flash-lite": (_plain("0.10 0.40 0.01"),),
    "gemini-3.1-flash-lite": (_plain("0.25 1.50 0.025"),),
    "gemini-3.5-flash-lite": (_plain("0.30 2.50 0.03"),),
    "gemini-2.5-flash": (_plain("0.30 2.50 0.03"),),
    "gemini-3.6-flash": (_plain("0.75 3.75 0.075"),),
    "gemini-3.7-flash": (_plain("0.75 3.75 0.075"),),
    "gemini-3.8-flash": (_plain("0.75 3.75 0.075"),),
    "gemini-3.5-flash": (_plain("1.50 9 0.15"),),
    "gemini-2.5-pro": (_plain("1.25 10 0.125"), _plain("2.50 15 0.25", above=200_000)),
    "gemini-3.1-pro-preview": (_plain("2 12 0.20"), _plain("4 18 0.40", above=200_000)),
    "gemini-4-argon": (_plain("2 10 0.10"), _plain("4 20 0.20", since=date(2026, 12, 1))),
    "text-embedding-3-small": _embedding("0.02"),
    "text-embedding-3-large": _embedding("0.13"),
    "gemini-decision-1": _embedding("0.10"),
    "gemini-embedding-001": _embedding("0.15"),
    "gemini-embedding-2": _embedding("0.20"),
    "embed-v5.0-pro": _embedding("0.12"),
    "embed-v5.0-fast": _embedding("0.08"),
    "embed-v4.0": _embedding("0.12"),
    "voyage-4-large": _embedding("0.12"),
    "voyage-4": _embedding("0.06"),
    "voyage-4-lite": _embedding("0.02"),
    "voyage-code-4": _embedding("0.12"),
    "voyage-context-4": _embedding("0.12"),
    "rerank-v5.0-pro": _embedding("0.05"),
    "rerank-v5.0-fast": _embedding("0.02"),
    "rerank-v4.0-pro": _search("2.50"),
    "rerank-v4.0-fast": _search("2"),
    "rerank-v3.5": _search("2"),
    "rerank-3": _embedding("0.05"),
    "rerank-2.5": _embedding("0.05"),
    "rerank-3-lite": _embedding("0.02"),
    "rerank-2.5-lite": _embedding("0.02"),
}

HALF = Lane(Decimal("0.5"), Decimal("0.5"))
READS_AT_LIST = Lane(Decimal("0.5"), Decimal(1))
"""Batch and flex of Gemini 2.5 and 3.1 Pro halve everything but cached reads."""
UNDISCOUNTED_READS = ("gemini-2.5-", "gemini-3.1-pro")


def lane_of(model: str, lane: str) -> Lane:
    """The factors of a lane; `us` and `fast` are Anthropic's and may be joined with others by `+`."""
    factor, read = Decimal(1), Decimal(1)
    for part in lane.split("+"):
        step = _lane_part(model, part)
        factor, read = factor * step.factor, read * step.read
    return Lane(factor, read)


def _lane_part(model: str, part: str) -> Lane:
    if part in ("batch", "flex"):
        return READS_AT_LIST if model.startswith(UNDISCOUNTED_READS) else HALF
    factors = {"standard": "1", "us": "1.1", "fast": "2", "regional": "1.1", "priority": _priority(model)}
    return Lane(Decimal(factors[part]), Decimal(factors[part]))


def _priority(model: str) -> str:
    if model.startswith("gemini") or model == "gpt-5-mini":
        return "1.8"
    return "2.5" if model == "gpt-5.5" else "2"


def find_row(model: str, day: date, prompt: int) -> Row | None:
    """The row in force on a day for a prompt of that length; the whole request is priced by it."""
    rows = [row for row in ROWS.get(model, ()) if row.since <= day and row.above < max(prompt, 1)]
    return max(rows, key=lambda row: (row.since, row.above), default=None)
