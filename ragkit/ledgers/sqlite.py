"""The ledger in a SQLite file, synced to disk at each commit; several processes may share it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from ragkit.budget import Standing
from ragkit.errors import LedgerError
from ragkit.ledger import Purchase
from ragkit.ledgers import limits
from ragkit.ledgers.glance import Glance
from ragkit.ledgers.schema import APPEND_ONLY, MIGRATIONS
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.worker import Row
from ragkit.window import micros

BUSY_SECONDS = 5.0
"""How long a process waits for another one's commit before the ledger counts as unreachable."""


class SqliteLedger(SqlLedger):
    """A ledger in this file, which is created on first use; nothing is read before that."""

    def __init__(self, file: Path, options: Options) -> None:
        super().__init__(lambda writes: SqliteSession(file, writes=writes), options)
        self._glance = Glance(lambda: SqliteSession(file, writes=False, waits=False), lambda: micros(options.clock()))

    async def standings(self, purchase: Purchase) -> tuple[Standing, ...]:
        """Every question asks where its budgets stand, so that this is read at once."""
        found = self._glance.read(partial(limits.standings, purchase=purchase))
        if found is None:
            found = await super().standings(purchase)
            await asyncio.to_thread(self._glance.open)
        return found

    async def aclose(self) -> None:
        self._glance.close()
        await super().aclose()


def open_sqlite(path: Path | str, options: Options | None = None) -> SqliteLedger:
    return SqliteLedger(Path(path), options or Options())


class SqliteSession:
    """One connection. A file that was moved away or deleted counts as unreachable, since it would swallow money."""

    def __init__(self, path: Path, *, writes: bool, waits: bool = True) -> None:
        self._path = path
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._waiting = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_handler(self._wait if waits else None)
            self._prepare()
            self._inode = path.stat().st_ino
        except (apsw.Error, OSError) as error:
            raise _translated(path, error) from error

    def begin(self) -> None:
        try:
            if self._path.stat().st_ino != self._inode:
                raise LedgerError(f"the ledger {self._path} was replaced while it was open")
        except OSError as error:
            raise _translated(self._path, error) from error
        self.execute(self._begin)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            return list(self._connection.execute(sql, tuple(values)))
        except apsw.Error as error:
            raise _translated(self._path, error) from error

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        try:
            self._connection.executemany(sql, rows)
        except apsw.Error as error:
            raise _translated(self._path, error) from error

    def commit(self) -> None:
        self.execute("COMMIT")

    def close(self) -> None:
        try:
            self._connection.close(True)
        except apsw.Error as error:
            raise _translated(self._path, error) from error

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self.execute(f"PRAGMA {pragma}")
        if self.execute("PRAGMA user_version")[0][0] != len(MIGRATIONS):
            self._migrate()

    def _migrate(self) -> None:
        self.execute("BEGIN IMMEDIATE")
        done = self.execute("PRAGMA user_version")[0][0]
        if done > len(MIGRATIONS):
            raise LedgerError(f"the ledger {self._path} was written by a newer ragkit: upgrade ragkit")
        for number, migration in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in migration:
                strict = " STRICT" if statement.startswith("CREATE TABLE") else ""
                self.execute(statement.format(int="INTEGER", float="REAL") + strict)
            if number == 1:
                self._forbid_changes()
            self.execute(f"PRAGMA user_version = {number}")
        self.execute("COMMIT")

    def _forbid_changes(self) -> None:
        for table in APPEND_ONLY:
            for change in ("UPDATE", "DELETE"):
                self.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}"
                    f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )

    def _wait(self, attempt: int) -> bool:
        """Short naps: another process commits in about a millisecond."""
        now = time.monotonic()
        if attempt == 0:
            self._waiting = now
        time.sleep(random.uniform(0.0002, 0.001))  # noqa: S311
        return now - self._waiting < BUSY_SECONDS


def _translated(path: Path, error: Exception) -> LedgerError:
    if isinstance(error, apsw.BusyError):
        return LedgerError(f"the ledger {path} is locked by another process for more than {BUSY_SECONDS:g} s")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return LedgerError(f"the ledger {path} is damaged: restore it from a backup ({error})")
    return LedgerError(f"the ledger {path} cannot be read or written: {error}")
