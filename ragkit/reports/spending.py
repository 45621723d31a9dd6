"""What was spent, on what and by whom: sums of the ledger by one question at a time. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from ragkit.errors import ConfigError
from ragkit.ledger import Bill, Cell
from ragkit.money import format_usd
from ragkit.savings import ABSTAINED
from ragkit.window import parse_window

By = Literal["day", "tenant", "model", "lane", "lever", "kind", "tier"]
BYS: tuple[By, ...] = get_args(By)
OF_EVENTS: tuple[By, ...] = ("model", "lane", "kind", "tier")
"""What an event has but a receipt has not: no saving can be told by these."""


@dataclass(frozen=True, slots=True)
class Line:
    """Sums of a group; None where they cannot be told for it. `unknown` events have no known cost.

    `simulated_pico` of what was spent is nobody's money. `declined_pico` of what was saved bought no cheaper answer:
    it is that of questions without an answer.
    """

    group: str
    spent_pico: int | None = None
    saved_pico: int | None = None
    baseline_pico: int | None = None
    questions: int | None = None
    events: int | None = None
    tokens: int | None = None
    unknown: int = 0
    overruns: int = 0
    simulated_pico: int = 0
    declined_pico: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time; `zone` says where its days begin."""

    since: datetime
    until: datetime
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Report:
    by: By
    span: Span
    lines: tuple[Line, ...]
    total: Line


@dataclass(slots=True)
class _Sums:
    spent: int = 0
    baseline: int = 0
    questions: int = 0
    events: int = 0
    tokens: int = 0
    unknown: int = 0
    overruns: int = 0
    simulated: int = 0
    levers: dict[str, int] = field(default_factory=dict)

    def add_cell(self, cell: Cell) -> None:
        self.spent += cell.posted_pico
        self.events += cell.events
        self.tokens += cell.tokens
        self.unknown += cell.unknown
        self.simulated += cell.simulated_pico

    def add_bill(self, bill: Bill) -> None:
        self.baseline += bill.baseline_pico
        self.questions += bill.receipts - bill.others
        self.overruns += bill.overruns
        for lever, pico in bill.savings:
            self.levers[lever] = self.levers.get(lever, 0) + pico

    def line(self, group: str, *, of_events: bool = False) -> Line:
        if of_events:
            known = Line(group, self.spent, events=self.events, tokens=self.tokens, unknown=self.unknown)
            return replace(known, simulated_pico=self.simulated)
        saved = sum(self.levers.values())
        numbers = (self.questions, self.events, self.tokens, self.unknown, self.overruns, self.simulated)
        declined = self.levers.get(ABSTAINED, 0)
        return Line(group, self.spent, saved, self.baseline, *numbers, declined)


def report(by: By, cells: Sequence[Cell], bills: Sequence[Bill], span: Span) -> Report:
    """Group what the ledger recorded; days in their order, everything else by what it cost or saved."""
    whole = _Sums()
    for cell in cells:
        whole.add_cell(cell)
    for bill in bills:
        whole.add_bill(bill)
    total = whole.line("total")
    if by == "lever":
        lines = [_of_lever(lever, pico) for lever, pico in whole.levers.items()]
        lines.sort(key=lambda line: (-(line.saved_pico or 0), line.group))
        return Report(by, span, tuple(lines), total)
    groups = _grouped(by, cells, bills, span.zone)
    lines = [sums.line(group, of_events=by in OF_EVENTS) for group, sums in groups.items()]
    lines.sort(key=lambda line: (line.group,) if by == "day" else (-(line.spent_pico or 0), line.group))
    return Report(by, span, tuple(lines), total)


def _of_lever(lever: str, pico: int) -> Line:
    return Line(lever, saved_pico=pico, declined_pico=pico if lever == ABSTAINED else 0)


def _grouped(by: By, cells: Iterable[Cell], bills: Iterable[Bill], zone: str) -> dict[str, _Sums]:
    groups: dict[str, _Sums] = {}
    day = _day_of(zone)

    def group(it: Cell | Bill) -> _Sums:
        name = day(it.at) if by == "day" else str(getattr(it, by)) or "(none)"
        return groups.setdefault(name, _Sums())

    for cell in cells:
        group(cell).add_cell(cell)
    if by not in OF_EVENTS:
        for bill in bills:
            group(bill).add_bill(bill)
    return groups


def _day_of(zone: str) -> Callable[[datetime], str]:
    local = ZoneInfo(zone)
    return lambda at: at.astimezone(local).date().isoformat()


def parse_by(text: str) -> By:
    for by in BYS:
        if by == text:
            return by
    raise ConfigError(f"there is no report by '{text}': write one of {', '.join(BYS)}")


def parse_moment(text: str, now: datetime, zone: str = "UTC") -> datetime:
    """A day (its beginning in the zone), an ISO time, or how long ago, such as `7d` or `24h`."""
    parse_window("day", zone)
    if text[-1:] in ("m", "h", "d") and text[:-1].isdigit():
        return now - timedelta(seconds=parse_window(text).seconds)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"'{text}' is no time: write a day such as 2026-11-23, or how long ago, such as 7d"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def report_to_json(found: Report) -> dict[str, Any]:
    """Money as decimal strings of dollars, null where it cannot be told."""
    return {
        "by": found.by,
        "since": found.span.since.isoformat(),
        "until": found.span.until.isoformat(),
        "zone": found.span.zone,
        "lines": [line_to_json(line) for line in found.lines],
        "total": line_to_json(found.total),
    }


def line_to_json(line: Line) -> dict[str, Any]:
    return {
        "group": line.group,
        "cost_usd": usd(line.spent_pico),
        "simulated_usd": None if line.spent_pico is None else usd(line.simulated_pico),
        "baseline_usd": usd(line.baseline_pico),
        "saved_usd": usd(line.saved_pico),
        "declined_usd": None if line.saved_pico is None else usd(line.declined_pico),
        "questions": line.questions,
        "events": line.events,
        "tokens": line.tokens,
        "unknown_costs": line.unknown,
        "overruns": line.overruns,
    }


def report_to_csv(found: Report) -> str:
    """One row per group; names that a spreadsheet would take for a formula are quoted for it."""
    out = io.StringIO()
    rows = [line_to_json(line) for line in found.lines]
    writer = csv.DictWriter(out, [found.by if key == "group" else key for key in line_to_json(found.total)])
    writer.writeheader()
    for row in rows:
        group = row.pop("group")
        writer.writerow({found.by: f"'{group}" if group[:1] in ("=", "+", "-", "@", "\t", "\r") else group, **row})
    return out.getvalue()


def simulated_note(pico: int, what: str) -> str:
    """Says that money is nobody's; empty where all of it is somebody's."""
    return f"simulated: ${format_usd(pico)} {what} came from simulated providers; nobody pays it" if pico else ""


def declined_note(found: Report) -> str:
    """Says how much of what was saved has bought no cheaper answer; empty where all of it has."""
    pico = found.total.declined_pico
    return f"declined: ${format_usd(pico)} of what was saved is of questions without an answer" if pico else ""


def usd(pico: int | None) -> str | None:
    return None if pico is None else format_usd(pico)
