"""The ledger beside a provider's invoice: what agrees, what was unknown until it came, and what is wrong. Pure.

Lines are matched by the id of their request; where a provider tells none, by model, time and amount. A call whose
caller was killed, or that timed out, has no id on the ledger, and its worst cost was posted: such a line is given to
one of these open ends that can hold it. What was posted before the first line or after the last, and is on no line,
is on the invoice before or after.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ragkit.errors import ConfigError
from ragkit.ledger import Posting
from ragkit.money import format_usd, from_usd

EARLY = timedelta(minutes=1)
"""How far the clocks of a provider may be behind ours."""
WITHIN = timedelta(minutes=15)
"""How long after its hold a call may be billed, outside of batches."""


@dataclass(frozen=True, slots=True)
class Line:
    """A billed request on an invoice; its `id` is empty where the provider tells none."""

    id: str
    at: datetime
    model: str
    pico: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What the ledger posted for a call, or for an open end, and what the invoice says; `what` names it."""

    what: str
    posted_pico: int
    billed_pico: int
    lines: int = 1


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`agreed` requests cost what the invoice says.

    `settled` were estimated or unknown, and are known now: the ledger posted their worst cost, or a fair guess. `wrong`
    are costs that the ledger held for exact, and that are not; `missing` lines that nothing on the ledger explains;
    `unbilled` costs that the invoice does not have.
    """

    ledger_pico: int
    invoice_pico: int
    agreed: int
    settled: tuple[Difference, ...]
    wrong: tuple[Difference, ...]
    missing: tuple[Line, ...]
    unbilled: tuple[Difference, ...]

    @property
    def unknown_pico(self) -> int:
        """What the ledger posted beyond the invoice where it did not know better."""
        return sum(it.posted_pico - it.billed_pico for it in self.settled)

    @property
    def difference_pico(self) -> int:
        """Ledger less invoice, once the invoice has told what was unknown: 0 where the books are right."""
        return self.ledger_pico - self.invoice_pico - self.unknown_pico

    @property
    def clean(self) -> bool:
        return not (self.wrong or self.missing or self.unbilled)


@dataclass(slots=True)
class _Open:
    """Postings of unknown cost of one receipt, or of one lapsed hold."""

    what: str
    at: datetime
    posted: int = 0
    models: set[str] = field(default_factory=set)
    billed: int = 0
    lines: int = 0


@dataclass(slots=True)
class _Ledger:
    """The ledger's side while it is matched; `known` are costs without a line of that id yet."""

    posted: int = 0
    agreed: int = 0
    settled: list[Difference] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)
    unbilled: list[Difference] = field(default_factory=list)
    known: list[Posting] = field(default_factory=list)
    open: dict[str, _Open] = field(default_factory=dict)

    def match(self, posting: Posting, line: Line) -> None:
        """The two sides of one request."""
        if posting.posted_pico == line.pico:
            self.agreed += 1
            return
        guessed = posting.cost_pico is None or posting.estimated
        (self.settled if guessed else self.wrong).append(Difference(line.id, posting.posted_pico, line.pico))

    def leave(self, posting: Posting, model: str) -> None:
        """A posting whose request is not on the invoice; a hold that was settled late adds up to nothing."""
        if posting.cost_pico is not None and not posting.hold:
            self.known += [posting] if posting.posted_pico else []
            return
        what = posting.hold or posting.receipt
        end = self.open.setdefault(what, _Open(what, posting.at))
        end.posted += posting.posted_pico
        end.models.add(model)

    def miss(self, posting: Posting, *, within: bool) -> None:
        """A known cost that no line has; outside of the invoice's time it is on another one."""
        if not within:
            self.posted -= posting.posted_pico
            return
        what = posting.request_id or posting.receipt
        (self.settled if posting.estimated else self.unbilled).append(Difference(what, posting.posted_pico, 0, 0))


def reconcile(
    postings: Iterable[Posting],
    lines: Sequence[Line],
    *,
    within: timedelta = WITHIN,
    canonical: Callable[[str], str] = str,
) -> Reconciliation:
    """Match an invoice with what was posted in its time; `canonical` gives a model the same name on both sides."""
    ours, theirs = _Ledger(), _by_request(lines)
    times = sorted(line.at for line in lines)
    for posting in postings:
        ours.posted += posting.posted_pico
        if posting.request_id and (line := theirs.pop(posting.request_id, None)) is not None:
            ours.match(posting, line)
        else:
            ours.leave(posting, canonical(posting.model))
    for posting in ours.known:
        line = None if posting.request_id else _same(posting, theirs.values(), within, canonical)
        if line is None:
            ours.miss(posting, within=not times or times[0] - EARLY <= posting.at <= times[-1] + EARLY)
        else:
            ours.match(posting, theirs.pop(line.id))
    missing = _assign(ours.open.values(), theirs.values(), within, canonical)
    ends = [Difference(it.what, it.posted, it.billed, it.lines) for it in ours.open.values() if it.posted or it.lines]
    total = sum(line.pico for line in lines)
    settled = (*ours.settled, *ends)
    return Reconciliation(ours.posted, total, ours.agreed, settled, tuple(ours.wrong), missing, tuple(ours.unbilled))


def _by_request(lines: Iterable[Line]) -> dict[str, Line]:
    """A request that is billed twice is one line of both amounts, which then differs from what was posted.

    Lines without an id are named by their place.
    """
    found: dict[str, Line] = {}
    for place, line in enumerate(lines, start=1):
        name = line.id or f"line {place}"
        before = found.get(name)
        found[name] = replace(line, id=name, pico=line.pico + (before.pico if before else 0))
    return found


def concerning(
    postings: Iterable[Posting], lines: Iterable[Line], provider_of: Callable[[str], str]
) -> tuple[Posting, ...]:
    """What one of the providers of an invoice may have billed; others send invoices of their own."""
    providers = {provider_of(line.model) for line in lines}
    return tuple(posting for posting in postings if provider_of(posting.model) in providers)


def _same(posting: Posting, lines: Iterable[Line], within: timedelta, canonical: Callable[[str], str]) -> Line | None:
    """The line of a call whose cost is known but not its id."""
    model = canonical(posting.model)
    equal = (it for it in lines if it.pico == posting.posted_pico and _in_time(posting.at, it, within))
    return next((it for it in equal if canonical(it.model) == model), None)


def _in_time(at: datetime, line: Line, within: timedelta) -> bool:
    return at - EARLY <= line.at <= at + within


def _assign(
    ends: Iterable[_Open], lines: Iterable[Line], within: timedelta, canonical: Callable[[str], str]
) -> tuple[Line, ...]:
    """Give each line to the open end that it fills best, the dearest first; those that none can hold are left."""
    by_model: dict[str, list[_Open]] = {}
    for end in ends:
        for model in end.models:
            by_model.setdefault(model, []).append(end)
    left = []
    for line in sorted(lines, key=lambda line: (-line.pico, line.id)):
        fitting = [
            end
            for end in by_model.get(canonical(line.model), ())
            if _in_time(end.at, line, within) and end.billed + line.pico <= end.posted
        ]
        if fitting:
            end = min(fitting, key=lambda end: (end.posted - end.billed, end.what))
            end.billed += line.pico
            end.lines += 1
        else:
            left.append(line)
    return tuple(left)


def read_invoice(file: Path) -> tuple[Line, ...]:
    """Lines of a CSV file with the columns id, at, model and amount_usd, or of JSON with the same names in `lines`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            return tuple(map(_line, json.loads(text, parse_float=Decimal)["lines"]))
        return tuple(map(_line, csv.DictReader(io.StringIO(text))))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{file} is no invoice ({error}): it needs id, at, model and amount_usd for each request, as CSV or JSON"
        ) from error


def _line(row: Mapping[str, Any]) -> Line:
    at = datetime.fromisoformat(row["at"])
    pico = from_usd(row["amount_usd"])
    return Line(str(row["id"] or ""), at if at.tzinfo else at.replace(tzinfo=UTC), str(row["model"]), pico)


def reconciliation_to_json(found: Reconciliation) -> dict[str, Any]:
    """Money as decimal strings of dollars."""
    return {
        "ledger_usd": format_usd(found.ledger_pico),
        "invoice_usd": format_usd(found.invoice_pico),
        "unknown_usd": format_usd(found.unknown_pico),
        "difference_usd": format_usd(found.difference_pico),
        "clean": found.clean,
        "agreed": found.agreed,
        **{name: [_to_json(it) for it in getattr(found, name)] for name in ("settled", "wrong", "unbilled")},
        "missing": [
            {"id": line.id, "at": line.at.isoformat(), "model": line.model, "billed_usd": format_usd(line.pico)}
            for line in found.missing
        ],
    }


def _to_json(it: Difference) -> dict[str, Any]:
    amounts = {"posted_usd": format_usd(it.posted_pico), "billed_usd": format_usd(it.billed_pico)}
    return {"what": it.what, **amounts, "lines": it.lines}
