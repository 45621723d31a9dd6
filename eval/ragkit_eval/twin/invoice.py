"""The twin's invoice: one line per billed request, added up by arithmetic of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ragkit_eval.twin.prices import CLASSES, find_row, lane_of

PICO = 10**12
STORAGE_HOUR = {"pro": Fraction(9, 2), "flash": Fraction(1)}
"""Dollars per million tokens and hour of an explicit Gemini cache."""
PROMPT_CLASSES = ("input", "read", "write_5m", "write_1h", "write_30m", "write_12h")


@dataclass(frozen=True, slots=True)
class Line:
    """A billed request. `usage` is in disjoint classes; `reasoning` in `detail` is part of its output.

    `pico` is in pico-dollars, None where the twin knows no price.
    """

    id: str
    at: datetime
    protocol: str
    model: str
    lane: str
    usage: Mapping[str, int]
    pico: int | None
    status: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usd(self) -> Decimal | None:
        return None if self.pico is None else Decimal(self.pico).scaleb(-12)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "protocol": self.protocol,
            "model": self.model,
            "lane": self.lane,
            "usage": dict(self.usage),
            "amount_usd": None if self.usd is None else format(self.usd, "f"),
            "amount_pico": self.pico,
            "status": self.status,
            "detail": dict(self.detail),
        }


def price(model: str, lane: str, usage: Mapping[str, int], at: datetime) -> int | None:
    """Pico-dollars of a request; None for a model without a row."""
    row = find_row(model, at.date(), sum(usage.get(kind, 0) for kind in PROMPT_CLASSES))
    if row is None:
        return None
    factors = lane_of(model, lane)
    dollars = Decimal(0)
    for kind in CLASSES:
        if amount := usage.get(kind, 0):
            per = 1_000 if kind == "search" else 1_000_000
            factor = factors.read if kind == "read" else factors.factor
            dollars += amount * getattr(row, kind) * factor / per
    pico = dollars * PICO
    if pico != pico.to_integral_value():
        raise ArithmeticError(f"{model} in lane {lane}: {pico} is not a whole number of pico-dollars")
    return int(pico)


def storage_price(model: str, tokens: int, seconds: float) -> int:
    """Pico-dollars for keeping a cache, rounded to the nearest."""
    hourly = STORAGE_HOUR["pro" if "pro" in model else "flash"]
    return round(hourly * tokens * Fraction(seconds).limit_denominator(1000) / 3600 * (PICO // 1_000_000))


class Invoice:
    """Lines in the order of billing; `accruing` tells of what is still running, as stored caches are."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self.accruing: list[Callable[[], tuple[Line, ...]]] = []

    def add(self, line: Line) -> None:
        self._lines.append(line)

    @property
    def lines(self) -> tuple[Line, ...]:
        running = [line for accrue in self.accruing for line in accrue()]
        return (*self._lines, *running)

    @property
    def total_pico(self) -> int:
        """The sum; a line without a price is an error here, never nothing."""
        unpriced = sorted({line.model for line in self.lines if line.pico is None})
        if unpriced:
            raise LookupError(f"no price for {', '.join(unpriced)}")
        return sum(line.pico for line in self.lines if line.pico is not None)

    @property
    def known_usd(self) -> Decimal:
        """The sum of what has a price."""
        return Decimal(sum(line.pico for line in self.lines if line.pico is not None)).scaleb(-12)

    @property
    def total_usd(self) -> Decimal:
        return Decimal(self.total_pico).scaleb(-12)

    def clear(self) -> None:
        self._lines.clear()

    def to_json(self) -> dict[str, Any]:
        lines = self.lines
        return {
            "simulated": True,
            "lines": [line.to_json() for line in lines],
            "total_usd": format(self.known_usd, "f"),
            "total_pico": int(self.known_usd * PICO),
            "unpriced": sorted({line.model for line in lines if line.pico is None}),
        }
