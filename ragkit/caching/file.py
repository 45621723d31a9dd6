"""What caches remember between processes: one small SQLite file beside the index.

Nothing in it is needed to answer. A file that is locked, damaged or on a full disk makes caches forget, never a
question fail; so it is not synced to disk at each write either. A damaged file is deleted and begun anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

FILE_NAME = "cache.db"
BUSY_MILLISECONDS = 50
LAYOUT = 1
Row = tuple[Any, ...]

TABLES = (
    "CREATE TABLE state (key TEXT PRIMARY KEY, at REAL NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE version (
        line TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, digest TEXT NOT NULL, body TEXT NOT NULL,
        retired REAL, reason TEXT NOT NULL, PRIMARY KEY (line, number)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE answer (
        key TEXT PRIMARY KEY, tenant TEXT NOT NULL, corpus TEXT NOT NULL, kind TEXT NOT NULL, signature TEXT NOT NULL,
        question TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE INDEX answer_signature ON answer (kind, signature)",
    "CREATE INDEX answer_tenant ON answer (tenant, at)",
)


class CacheFile:
    """One connection, for one thread; opened on first use. A path of None keeps everything in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self.trouble = ""
        """What went wrong last, in words; empty while all is well."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """What a query finds; nothing while the file cannot be read."""
        try:
            return list(self._open().execute(sql, tuple(values)))
        except (apsw.Error, OSError) as error:
            self._fail(error)
            return []

    def write(self, sql: str, values: Sequence[Any] = ()) -> None:
        """One change, on disk when the system pleases; dropped while the file cannot be written."""
        self.rows(sql, values)

    def scrub(self) -> None:
        """Overwrite what was deleted also in the log: documents that are gone must not live on here."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close(True)
            self._connection = None

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _prepared(":memory:" if self._path is None else str(self._path))
        return self._connection

    def _fail(self, error: Exception) -> None:
        self.trouble = f"the cache file {self._path} cannot be used: {error}"
        if isinstance(error, apsw.BusyError):
            return
        self.close()
        if isinstance(error, apsw.NotADBError | apsw.CorruptError) and self._path is not None:
            for end in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        else:
            self._path = None


def _prepared(name: str) -> apsw.Connection:
    connection = apsw.Connection(name)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if next(iter(connection.execute("PRAGMA user_version")))[0] != LAYOUT:
            _create(connection)
    except BaseException:
        connection.close(True)
        raise
    return connection


def _create(connection: apsw.Connection) -> None:
    """Of another layout nothing is kept: it was a cache."""
    connection.execute("BEGIN IMMEDIATE")
    if next(iter(connection.execute("PRAGMA user_version")))[0] != LAYOUT:
        for (table,) in list(connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")):
            connection.execute(f'DROP TABLE "{table}"')
        for statement in TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    connection.execute("COMMIT")
