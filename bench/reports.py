"""How long a tenant's report takes beside the rows of many others, with and without the indexes by tenant.

python bench/reports.py [--events 200000] [--tenants 100] [--dsn DSN]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ragkit.ledgers.rows import insert_events, insert_receipt, read_bills, read_cells
from ragkit.ledgers.sqlite import SqliteSession
from ragkit.ledgers.worker import Session
from ragkit.nouns import Account, Event, Receipt, Saving, Usage
from ragkit.window import micros

START = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 30
EACH = 4
"""Events of a receipt."""
INDEXES = ("event_tenant_booked", "receipt_tenant_booked")
EVENT = Event("generate", "small", Usage(input=3000, output=200), 10**9, 1.0, "plain", tier="small")


def fill(session: Session, events: int, tenants: int) -> None:
    count = events // EACH
    session.begin()
    for number in range(count):
        at = START + timedelta(days=DAYS) * (number / count)
        account, saving = Account(f"tenant-{number % tenants}"), (Saving("routing", 10**9),)
        receipt = Receipt(f"r-{number}", at, account, (EVENT,) * EACH, 5 * 10**9, "top", "prices", saving)
        insert_receipt(session, receipt, micros(at), overrun=0)
        insert_events(session, account, micros(at), [(EVENT, 10**9)] * EACH, receipt_id=receipt.id)
    session.execute("ANALYZE")
    session.commit()


def seconds_of(session: Session, tenant: str, times: int = 9) -> float:
    """The median of a report over all days."""
    when = (micros(START), micros(START + timedelta(days=DAYS)), tenant)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        session.begin()
        read_cells(session, when)
        read_bills(session, when)
        session.commit()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(session: Session, events: int, tenants: int) -> None:
    fill(session, events, tenants)
    found = seconds_of(session, "tenant-7")
    session.begin()
    for index in INDEXES:
        session.execute(f"DROP INDEX {index}")
    session.execute("ANALYZE")
    session.commit()
    before = seconds_of(session, "tenant-7")
    print(f"{events:,} events of {tenants} tenants, report of one of them by index: {found * 1000:.1f} ms")
    print(f"the same without: {before * 1000:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--dsn", help="an empty PostgreSQL database; without one a SQLite file")
    options = parser.parse_args()
    if options.dsn:
        from ragkit.ledgers.postgres import PostgresSession

        measure(PostgresSession(options.dsn, writes=True), options.events, options.tenants)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(SqliteSession(Path(folder) / "ledger.db", writes=True), options.events, options.tenants)


if __name__ == "__main__":
    main()
