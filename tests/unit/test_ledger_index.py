"""A tenant's report reads the rows of that tenant, not everybody's; PostgreSQL where there is a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postgres import new_schema
from ragkit.ledger import Purchase
from ragkit.ledgers.limits import SIMULATED
from ragkit.ledgers.rows import insert_events
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import SqliteSession
from ragkit.ledgers.worker import Row, Session
from ragkit.nouns import Account, Event, Receipt, Saving, Usage

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
TENANTS = 40
OPTIONS = Options(clock=lambda: START + timedelta(days=1))
EVENT = Event("generate", "small", Usage(input=10), 5, 0.5, "asked")


class Explained:
    """A session that asks the database first how it would find what it reads."""

    def __init__(self, session: Session, explain: str, plans: list[str]) -> None:
        self._session = session
        self._explain = explain
        self._plans = plans

    def begin(self) -> None:
        self._session.begin()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        if sql.lstrip().startswith("SELECT"):
            plan = self._session.execute(f"{self._explain} {sql}", values)
            self._plans.append("\n".join(str(row) for row in plan))
        return self._session.execute(sql, values)

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        self._session.insert(sql, rows)

    def commit(self) -> None:
        self._session.commit()

    def close(self) -> None:
        self._session.close()


@dataclass(frozen=True)
class Place:
    """A database; `analyze` lets it count its rows, which a server does by itself sooner or later."""

    connect: Callable[[bool], Session]
    explain: str

    def analyze(self) -> None:
        session = self.connect(True)
        session.begin()
        session.execute("ANALYZE")
        session.commit()
        session.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(lambda writes: SqliteSession(tmp_path / "ledger.db", writes=writes), "EXPLAIN QUERY PLAN")
        return
    with new_schema() as schema:
        from ragkit.ledgers.postgres import PostgresSession

        yield Place(lambda writes: PostgresSession(schema.dsn, writes=writes), "EXPLAIN")


@pytest.mark.parametrize("counted", [True, False])
async def test_the_report_of_a_tenant_finds_its_rows_by_an_index(place: Place, counted: bool) -> None:
    plans: list[str] = []

    def connect(writes: bool) -> Session:
        session = place.connect(writes)
        return session if writes else Explained(session, place.explain, plans)

    ledger = SqlLedger(connect, OPTIONS)

    async def spend(number: int) -> None:
        account, at = Account(f"tenant-{number % TENANTS}"), START + timedelta(minutes=number)
        receipt = Receipt(f"r-{number}", at, account, (EVENT,) * 5, 30, "top", "prices", (Saving("routing", 5),))
        await ledger.settle(await ledger.hold(Purchase(account, 0, "small")), receipt)

    await asyncio.gather(*map(spend, range(TENANTS * 20)))
    if counted:
        place.analyze()
    when = (START, START + timedelta(days=1), "tenant-7")
    assert sum(it.events for it in await ledger.cells(*when)) == 100
    assert sum(it.receipts for it in await ledger.bills(*when)) == 20
    await ledger.aclose()
    cells, levers, bills = plans
    assert "event_tenant_booked" in cells
    assert "receipt_tenant_booked" in levers
    assert "receipt_tenant_booked" in bills


async def test_where_a_budget_stands_reads_no_row_of_real_money(place: Place) -> None:
    """The money of simulations is found by an index that holds nothing else."""
    session = place.connect(True)
    session.begin()
    events = [(Event("generate", "small", Usage(1), 5, 0.1, "asked"), 5)] * 2000
    insert_events(session, Account("acme"), 10**6, events, receipt_id=None)
    session.execute("ANALYZE")
    plan = "\n".join(str(row) for row in session.execute(f"{place.explain} {SIMULATED}", (0,)))
    session.commit()
    session.close()
    assert "event_simulated" in plan
