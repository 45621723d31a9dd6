"""Receipts and events as rows and back; what reports read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter, itemgetter

from ragkit.bill import NO_BASELINE, SIMULATED
from ragkit.ledger import Bill, Cell
from ragkit.ledgers.books import account_from_row, account_to_row
from ragkit.ledgers.worker import Row, Session
from ragkit.nouns import Account, Event, Receipt, Saving, Usage
from ragkit.savings import CALLS, NOTHING_ANSWERED
from ragkit.window import QUARTER, from_micros, micros

CLASSES = tuple(field.name for field in fields(Usage))
USAGE, COUNTS = ", ".join(CLASSES), attrgetter(*CLASSES)
EVENT = (
    "kind, model, cost, seconds, reason, attempt, lane, price_row, estimated, reported, request_id, tier, prefix,"
    f" chunks, evidence, estimate, bound, {USAGE}"
)
INSERT_EVENT = (
    f"INSERT INTO event (receipt, hold, ordinal, booked, tenant, person, access_key, tags, posted, {EVENT})"  # noqa: S608
    f" VALUES ({', '.join('?' * 35)})"
)
RECEIPT = "id, at, tenant, person, access_key, tags, baseline, baseline_note, price_version"
TOKENS = "input + cache_read + cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h + output"
IS_CALL = f"kind IN ({', '.join(repr(kind) for kind in CALLS)})"
IS_SIMULATED = f"substr(reason, 1, {len(SIMULATED)}) = '{SIMULATED}'"
IS_OTHER = f"""(baseline_note = '{NO_BASELINE}' OR baseline_note <> replace(baseline_note, '{NOTHING_ANSWERED}', ''))
    AND NOT EXISTS (SELECT 1 FROM event WHERE event.receipt = receipt.id AND {IS_CALL})"""  # noqa: S608
"""Receipts of no question: the opposite of `ragkit.bill.is_question`."""
Range = tuple[int, int, str | None]
"""Since, until and tenant; None for all tenants."""


def insert_receipt(session: Session, receipt: Receipt, booked: int, *, overrun: int) -> None:
    session.execute(
        f"INSERT INTO receipt (booked, overrun, {RECEIPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            booked,
            overrun,
            receipt.id,
            micros(receipt.at),
            *account_to_row(receipt.account),
            receipt.baseline_pico,
            receipt.baseline_note,
            receipt.price_version,
        ),
    )
    savings = [(receipt.id, number, it.lever, it.pico) for number, it in enumerate(receipt.savings)]
    if savings:
        session.insert("INSERT INTO saving (receipt, ordinal, lever, pico) VALUES (?, ?, ?, ?)", savings)


def insert_events(
    session: Session,
    account: Account,
    booked: int,
    events: Sequence[tuple[Event, int]],
    *,
    receipt_id: str | None = None,
    hold_id: str | None = None,
) -> None:
    """Append events with what each of them posts."""
    who = account_to_row(account)
    session.insert(
        INSERT_EVENT,
        [
            (receipt_id, hold_id, number, booked, *who, posted, *_event_to_row(event))
            for number, (event, posted) in enumerate(events)
        ],
    )


def read_receipt(session: Session, tenant: str, receipt_id: str) -> Receipt | None:
    where, values = "tenant = ? AND id = ?", (tenant, receipt_id)
    return next(_receipts(session, where, values), None)


def read_receipts(session: Session, when: Range) -> list[Receipt]:
    """The receipts booked in a stretch of time, oldest first."""
    return list(_receipts(session, *within(when)))


def read_chosen(session: Session, ids: Sequence[str]) -> list[Receipt]:
    """The receipts of these ids that there are."""
    return list(_receipts(session, f"id IN ({', '.join('?' * len(ids))})", ids)) if ids else []


def read_cells(session: Session, when: Range) -> tuple[Cell, ...]:
    where, values = within(when)
    rows = session.execute(
        f"""SELECT booked / {QUARTER}, tenant, model, lane, kind, coalesce(tier, ''), count(*),
            count(*) - count(cost), sum({TOKENS}), sum(posted),
            sum(CASE WHEN {IS_SIMULATED} THEN 1 ELSE 0 END), sum(CASE WHEN {IS_SIMULATED} THEN posted ELSE 0 END)
            FROM event WHERE {where} GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6""",  # noqa: S608
        values,
    )
    return tuple(
        Cell(from_micros(quarter * QUARTER), tenant, model, lane, kind, tier, *map(int, sums))
        for quarter, tenant, model, lane, kind, tier, *sums in rows
    )


def read_bills(session: Session, when: Range) -> tuple[Bill, ...]:
    where, values = within(when)
    levers = session.execute(
        f"""SELECT booked / {QUARTER}, tenant, lever, sum(pico) FROM saving JOIN receipt ON receipt.id = saving.receipt
            WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",  # noqa: S608
        values,
    )
    saved = {key: tuple((row[2], int(row[3])) for row in rows) for key, rows in groupby(levers, itemgetter(0, 1))}
    bills = session.execute(
        f"""SELECT booked / {QUARTER}, tenant, count(*), sum(CASE WHEN overrun > 0 THEN 1 ELSE 0 END), sum(baseline),
            sum(CASE WHEN {IS_OTHER} THEN 1 ELSE 0 END)
            FROM receipt WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2""",  # noqa: S608
        values,
    )
    return tuple(
        Bill(
            from_micros(quarter * QUARTER),
            tenant,
            count,
            int(overruns),
            int(baseline),
            saved.get((quarter, tenant), ()),
            int(others),
        )
        for quarter, tenant, count, overruns, baseline, others in bills
    )


def within(when: Range) -> tuple[str, tuple[object, ...]]:
    since, until, tenant = when
    where = "booked >= ? AND booked < ?"
    return (where, (since, until)) if tenant is None else (f"{where} AND tenant = ?", (since, until, tenant))


def _receipts(session: Session, where: str, values: Sequence[object]) -> Iterator[Receipt]:
    rows = session.execute(f"SELECT {RECEIPT} FROM receipt WHERE {where} ORDER BY booked, id", values)  # noqa: S608
    inside = f"receipt IN (SELECT id FROM receipt WHERE {where})"  # noqa: S608
    order = "ORDER BY receipt, ordinal"
    events = session.execute(f"SELECT receipt, {EVENT} FROM event WHERE {inside} {order}", values)  # noqa: S608
    savings = session.execute(f"SELECT receipt, lever, pico FROM saving WHERE {inside} {order}", values)  # noqa: S608
    its_events = {id_: tuple(_event_from_row(row[1:]) for row in its) for id_, its in groupby(events, itemgetter(0))}
    its_savings = {id_: tuple(Saving(*row[1:]) for row in its) for id_, its in groupby(savings, itemgetter(0))}
    for id_, at, *account, baseline, note, prices in rows:
        yield Receipt(
            id_,
            from_micros(at),
            account_from_row(account),
            its_events.get(id_, ()),
            baseline,
            note,
            prices,
            its_savings.get(id_, ()),
        )


def _event_to_row(event: Event) -> Row:
    return (
        event.kind,
        event.model,
        event.cost_pico,
        event.seconds,
        event.reason,
        event.attempt,
        event.lane,
        event.price_row,
        int(event.estimated),
        event.reported_pico,
        event.request_id,
        event.tier,
        event.prefix,
        event.chunks,
        event.evidence,
        event.estimate,
        event.bound,
        *COUNTS(event.usage),
    )


def _event_from_row(row: Row) -> Event:
    kind, model, cost, seconds, reason, attempt, lane, price_row, estimated, *rest = row
    reported, request_id, tier, prefix, chunks, evidence, estimate, bound, *usage = rest
    return Event(
        kind,
        model,
        Usage(*usage),
        cost,
        seconds,
        reason,
        attempt,
        lane,
        price_row,
        bool(estimated),
        reported,
        request_id,
        tier,
        prefix,
        chunks,
        evidence,
        estimate,
        bound,
    )
