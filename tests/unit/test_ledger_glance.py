"""Where budgets stand is read at once, and by the reader wherever that is not possible."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ragkit.budget import Budget
from ragkit.errors import LedgerError
from ragkit.ledger import Purchase
from ragkit.ledgers.glance import Glance
from ragkit.ledgers.sql import Options
from ragkit.ledgers.sqlite import SqliteLedger, SqliteSession, open_sqlite
from ragkit.nouns import Account
from ragkit.window import parse_window

ASKED = Purchase(Account("acme"), 0, "")
DAILY = Budget("tenant", "acme", parse_window("day"), 10**12)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    opened = open_sqlite(tmp_path / "ledger.db", Options(patience=20.0))
    await opened.set_budget(DAILY)
    yield opened
    await opened.aclose()


@pytest.fixture
def reads(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the reader beside the event loop was asked for."""
    asked, run = [], ledger._reader.run

    async def noted(*args: object, **named: object) -> object:
        asked.append("read")
        return await run(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger._reader, "run", noted)
    return asked


async def test_the_reader_is_asked_once(ledger: SqliteLedger, reads: list[str]) -> None:
    found = [await ledger.standings(ASKED) for _ in range(3)]
    assert len(set(found)) == 1
    assert found[0][0].left_pico == DAILY.limit_pico
    assert len(reads) == 1


async def test_what_others_write_is_seen(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.standings(ASKED)
    await ledger.hold(Purchase(Account("acme"), 10**9, "m"))
    (standing,) = await ledger.standings(ASKED)
    assert standing.held_pico == 10**9
    other = open_sqlite(tmp_path / "ledger.db")
    await other.set_budget(Budget("all", "", parse_window("month"), 5))
    await other.aclose()
    assert len(await ledger.standings(ASKED)) == 2


async def test_a_ledger_that_is_gone_says_so_and_comes_back(
    ledger: SqliteLedger, tmp_path: Path, reads: list[str]
) -> None:
    await ledger.standings(ASKED)
    await ledger.standings(ASKED)
    kept = tmp_path / "kept"
    kept.mkdir()
    for file in tmp_path.glob("ledger.db*"):
        shutil.move(file, kept)
    with pytest.raises(LedgerError, match="ledger"):
        await ledger.standings(ASKED)
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    for file in kept.iterdir():
        shutil.move(file, tmp_path)
    found = [await ledger.standings(ASKED) for _ in range(3)]
    assert [standing.left_pico for (standing,) in found] == [DAILY.limit_pico] * 3
    assert len(reads) == 3


async def test_one_that_another_thread_looks_at_is_left_to_the_reader(ledger: SqliteLedger, reads: list[str]) -> None:
    await ledger.standings(ASKED)
    inside, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> bool:
        inside.set()
        return go_on.wait(20)

    looking = asyncio.create_task(asyncio.to_thread(ledger._glance.read, slow))
    await asyncio.to_thread(inside.wait, 20)
    assert (await ledger.standings(ASKED))[0].left_pico == DAILY.limit_pico
    go_on.set()
    assert await looking is True
    assert len(reads) == 2


async def test_a_write_under_way_stands_in_nobodys_way(ledger: SqliteLedger, tmp_path: Path, reads: list[str]) -> None:
    await ledger.standings(ASKED)
    writer = SqliteSession(tmp_path / "ledger.db", writes=True)
    writer.begin()
    writer.execute("DELETE FROM balance")
    assert (await ledger.standings(ASKED))[0].left_pico == DAILY.limit_pico
    writer.close()
    assert len(reads) == 1


async def test_a_look_that_breaks_leaves_nothing_open(ledger: SqliteLedger, reads: list[str]) -> None:
    await ledger.standings(ASKED)
    with pytest.raises(ZeroDivisionError):
        ledger._glance.read(lambda _: 1 // 0)
    assert ledger._glance.read(lambda _: True) is None
    await ledger.standings(ASKED)
    assert ledger._glance.read(lambda _: True) is True
    assert len(reads) == 2


def test_a_closed_one_is_not_opened_again(tmp_path: Path) -> None:
    glance = Glance(lambda: SqliteSession(tmp_path / "ledger.db", writes=False), lambda: 0)
    glance.close()
    glance.open()
    assert glance.read(lambda _: True) is None
