"""The SQLite file of the journal: its tables, what each version added, and changes that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ragkit.errors import LedgerError

FILE_NAME = "batches.db"
BUSY_MILLISECONDS = 5_000
TABLES = """
CREATE TABLE job (id TEXT PRIMARY KEY, digest TEXT NOT NULL, tenant TEXT NOT NULL, state TEXT NOT NULL,
    at TEXT NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE part (id TEXT PRIMARY KEY, job TEXT NOT NULL REFERENCES job, record TEXT NOT NULL) STRICT;
CREATE TABLE item (job TEXT NOT NULL REFERENCES job, number INTEGER NOT NULL, state TEXT NOT NULL, part TEXT NOT NULL,
    record TEXT NOT NULL, asked TEXT, prefix TEXT, PRIMARY KEY (job, number)) STRICT;
CREATE INDEX item_part ON item (part);
CREATE TABLE prefix (digest TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
"""
CONTEXTS = "CREATE TABLE context (tenant TEXT, name TEXT, text TEXT NOT NULL, PRIMARY KEY (tenant, name)) STRICT;"
WANTED = """
CREATE TABLE wanted (tenant TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, job TEXT NOT NULL REFERENCES job,
    number INTEGER NOT NULL, arrived INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (tenant, name)) STRICT, WITHOUT ROWID;
CREATE INDEX wanted_job ON wanted (job, number);
INSERT OR IGNORE INTO wanted
    SELECT job.tenant, item.record ->> '$.question.id', item.asked ->> '$.request.prompt.chunks[0].document_id', job.id,
        item.number, json_type(item.record, '$.answer.applied') IS NOT NULL
    FROM job JOIN item ON item.job = job.id
    WHERE job.state IN ('open', 'cancelling') AND job.record ->> '$.kind' = 'contexts';
INSERT OR IGNORE INTO wanted
    SELECT job.tenant, chunk_name(chunk.value ->> '$.id', chunk.value ->> '$.context'),
        chunk.value ->> '$.document_id', job.id, item.number, json_type(item.record, '$.answer.applied') IS NOT NULL
    FROM job JOIN item ON item.job = job.id JOIN json_each(item.asked, '$.request.prompt.selected') AS chunk
    WHERE job.state IN ('open', 'cancelling') AND job.record ->> '$.kind' = 'vectors';
"""
"""What is asked for chunks, by name. Rows of jobs that are over stay, until the same is asked for again."""
VERSIONS = (TABLES, CONTEXTS, WANTED)
"""What each version added; how many there are is kept in the file."""


def chunk_name(chunk_id: str, context: str) -> str:
    """What a vector belongs to: a chunk with the context that it has."""
    return hashlib.sha256(json.dumps([chunk_id, context]).encode()).hexdigest()[:32]


class JournalFile:
    """One connection, for one thread. Raises `LedgerError` where the file cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = apsw.Connection(str(self.path))
            self.wait_for_others(BUSY_MILLISECONDS)
            self._set_up()
            self._prepare()
        except (apsw.Error, OSError) as error:
            raise LedgerError(f"the journal of batches {self.path} cannot be used: {error}") from error

    def wait_for_others(self, milliseconds: int) -> None:
        """How long another one may write before that is an error."""
        self._connection.set_busy_timeout(milliseconds)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """As `step`, for changes that depend on what is read within: nobody else writes meanwhile."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    @contextmanager
    def step(self) -> Iterator[None]:
        """All changes within are on disk together, or none is."""
        try:
            with self._connection:
                yield
        except apsw.Error as error:
            raise self._unusable(error) from error

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self.rows(sql, values)

    def run_each(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        try:
            self._connection.executemany(sql, values)
        except apsw.Error as error:
            raise self._unusable(error) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return list(self._connection.execute(sql, tuple(values)))
        except apsw.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        self._connection.close(True)

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(f"the journal of batches {self.path} cannot be read or written: {error}")

    def _set_up(self) -> None:
        """The first one changes the file to its log, for which SQLite does not wait until others let it."""
        ends = time.monotonic() + BUSY_MILLISECONDS / 1000
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            while True:
                try:
                    self._connection.execute(f"PRAGMA {pragma}").fetchall()
                    break
                except apsw.BusyError:
                    if time.monotonic() > ends:
                        raise
                    time.sleep(0.01)

    def _prepare(self) -> None:
        version = self._version()
        if version > len(VERSIONS):
            raise LedgerError(f"the journal of batches {self.path} was written by a newer ragkit: upgrade ragkit")
        if version < len(VERSIONS):
            self._connection.create_scalar_function("chunk_name", lambda *of: chunk_name(str(of[0]), str(of[1])))
            with self.turn():  # another one may have come first
                for number in range(self._version(), len(VERSIONS)):
                    self.run(f"{VERSIONS[number]} PRAGMA user_version = {number + 1}")

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])
