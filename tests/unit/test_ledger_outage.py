"""A ledger that cannot be reached fails fast, says why, and comes back by itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import apsw
import pytest

from ragkit.errors import LedgerError
from ragkit.ledger import Purchase
from ragkit.ledgers.schema import APPEND_ONLY, MIGRATIONS
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import SqliteSession, open_sqlite
from ragkit.nouns import Account, Event, Usage

PURCHASE = Purchase(Account(), 10, "small")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ledger.db"


@pytest.fixture
async def ledger(file: Path) -> AsyncIterator[SqlLedger]:
    ledger = open_sqlite(file, Options(patience=0.5))
    yield ledger
    await ledger.aclose()


async def test_nothing_is_created_before_the_first_use(ledger: SqlLedger, file: Path) -> None:
    await asyncio.sleep(0.05)
    assert not file.parent.exists()
    await ledger.hold(PURCHASE)
    assert file.exists()


async def test_a_folder_that_cannot_be_made(ledger: SqlLedger, file: Path) -> None:
    file.parent.write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be read or written"):
        await ledger.hold(PURCHASE)
    file.parent.unlink()
    await ledger.hold(PURCHASE)


async def test_each_caller_gets_an_error_of_its_own(ledger: SqlLedger, file: Path) -> None:
    file.parent.write_text("in the way")
    errors = await asyncio.gather(*(ledger.hold(PURCHASE) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [LedgerError] * 3
    assert len({id(error) for error in errors}) == 3


async def test_a_file_that_is_no_ledger(ledger: SqlLedger, file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match="damaged"):
        await ledger.hold(PURCHASE)
    file.unlink()
    await ledger.hold(PURCHASE)


async def test_a_file_that_was_deleted_swallows_no_money(ledger: SqlLedger, file: Path) -> None:
    await ledger.hold(PURCHASE)
    for part in file.parent.iterdir():
        part.unlink()
    with pytest.raises(LedgerError, match="cannot be read or written"):
        await ledger.hold(PURCHASE)
    await ledger.hold(PURCHASE)
    assert (await ledger.audit()).open_holds == 1


async def test_a_file_that_was_replaced_is_opened_anew(ledger: SqlLedger, file: Path) -> None:
    await ledger.hold(PURCHASE)
    for part in file.parent.iterdir():
        part.rename(part.with_name(f"old-{part.name}"))
    other = open_sqlite(file)
    await other.hold(PURCHASE)
    with pytest.raises(LedgerError, match="replaced"):
        await ledger.hold(PURCHASE)
    await ledger.hold(PURCHASE)
    assert (await other.audit()).open_holds == 2
    await other.aclose()


async def test_a_ledger_of_a_newer_version(ledger: SqlLedger, file: Path) -> None:
    file.parent.mkdir()
    connection = apsw.Connection(str(file))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(LedgerError, match="upgrade ragkit"):
        await ledger.hold(PURCHASE)


async def test_a_lock_that_is_not_given_back_ends_the_wait(ledger: SqlLedger, file: Path) -> None:
    await ledger.hold(PURCHASE)
    other = apsw.Connection(str(file))
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(LedgerError, match="did not answer"):
        await ledger.hold(PURCHASE)
    assert time.monotonic() - began < 3
    other.execute("ROLLBACK")
    other.close()
    await ledger.sweep()
    assert (await ledger.audit()).open_holds == 1, "the hold nobody waited for was given back"


async def test_the_event_loop_runs_on_while_the_ledger_waits(ledger: SqlLedger, file: Path) -> None:
    await ledger.hold(PURCHASE)
    other = apsw.Connection(str(file))
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(ledger.hold(PURCHASE))
    gaps = []
    for _ in range(20):
        before = time.monotonic()
        await asyncio.sleep(0.005)
        gaps.append(time.monotonic() - before)
    assert not task.done()
    assert sorted(gaps)[10] < 0.1
    other.execute("ROLLBACK")
    other.close()
    await task


async def test_one_broken_job_does_not_spoil_the_others(ledger: SqlLedger) -> None:
    huge = Purchase(Account(), 10, "small", fallbacks=(object(),))  # type: ignore[arg-type]
    outcomes = await asyncio.gather(*(ledger.hold(it) for it in (PURCHASE, huge, PURCHASE)), return_exceptions=True)
    assert [isinstance(it, Exception) for it in outcomes] == [False, True, False]
    assert (await ledger.audit()).open_holds == 2


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_the_database_refuses_to_rewrite_history(ledger: SqlLedger, file: Path, table: str) -> None:
    await ledger.hold(PURCHASE)
    connection = apsw.Connection(str(file))
    triggers = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
    )
    assert triggers.get == 2
    if table == "hold":
        for change in ("UPDATE hold SET amount = 1", "DELETE FROM hold"):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                connection.execute(change)
    connection.close()


def test_sqlite_is_one_without_the_wal_reset_bug(file: Path) -> None:
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)
    session = SqliteSession(file, writes=True)
    assert session.execute("PRAGMA journal_mode") == [("wal",)]
    assert session.execute("PRAGMA synchronous") == [(2,)]
    session.close()


FULL_DISK = """
import asyncio, resource, signal, sys
from ragkit.errors import LedgerError
from ragkit.ledger import Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ledger = open_sqlite(sys.argv[1])
    await ledger.hold(Purchase(Account(), 10, "small"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    failed = 0
    for _ in range(3):
        try:
            await ledger.hold(Purchase(Account(), 10, "small"))
        except LedgerError:
            failed += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await ledger.hold(Purchase(Account(), 10, "small"))
    audit = await ledger.audit()
    print(failed, audit.open_holds, audit.differences)
    await ledger.aclose()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_full_disk_refuses_and_recovers(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=False)
    assert done.stdout == "3 2 ()\n", done.stderr


async def test_a_ledger_of_an_older_ragkit_is_brought_up_to_date(file: Path, ledger: SqlLedger) -> None:
    """Its receipts stay, with what they could not tell yet left empty."""
    file.parent.mkdir()
    old = apsw.Connection(str(file))
    for statement in MIGRATIONS[0]:
        strict = " STRICT" if statement.startswith("CREATE TABLE") else ""
        old.execute(statement.format(int="INTEGER", float="REAL") + strict)
    old.execute("INSERT INTO receipt VALUES ('r-1', 5, 5, 'default', NULL, NULL, '[]', 10, 'top', 'prices', 0)")
    counts = ", ".join(["7"] * len(fields(Usage)))
    old.execute(
        "INSERT INTO event VALUES ('r-1', NULL, 0, 5, 'default', NULL, NULL, '[]', 3, 'generate', 'm', 3, 0.5, 'asked',"
        f" 1, 'standard', 'm@start', 0, NULL, NULL, 'small', '', 4, 900, {counts})"
    )
    old.execute("PRAGMA user_version = 1")
    old.close()
    kept = await ledger.receipt("default", "r-1")
    assert kept is not None
    usage = Usage(*[7] * len(fields(Usage)))
    assert kept.events == (
        Event("generate", "m", usage, 3, 0.5, "asked", price_row="m@start", tier="small", chunks=4, evidence=900),
    )
    assert await ledger.counted(10) == ()
    await ledger.hold(PURCHASE)
    assert apsw.Connection(str(file)).pragma("user_version") == len(MIGRATIONS)
