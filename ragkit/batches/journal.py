"""What was submitted, in a SQLite file beside the ledger: each step is on disk before the next one begins."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from ragkit.batches.codec import asked_from_json, asked_to_json, prefix_from_json, prefix_to_json
from ragkit.batches.job import Asked, Item, Job, JobKind, Part, Question
from ragkit.errors import LedgerError
from ragkit.nouns import Account, Prefix

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
VERSIONS = (TABLES, CONTEXTS)
"""What each version added; how many there are is kept in the file."""
VECTOR = "vector:"
"""Begins the names of texts in the table of contexts: there it is remembered what became of those without a vector."""
FIND_ITEMS = "SELECT record FROM item WHERE job = ? AND state = ? ORDER BY number"


class JobBusy(LedgerError):
    """Somebody else works on the job."""


class Journal:
    """One connection, for one thread; whoever works on a job holds `working_on`, so that no step is taken twice."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._last: tuple[Prefix, tuple[str, str]] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = apsw.Connection(str(self._path))
            self._connection.set_busy_timeout(BUSY_MILLISECONDS)
            self._set_up()
            self._prepare()
        except (apsw.Error, OSError) as error:
            raise LedgerError(f"the journal of batches {self._path} cannot be used: {error}") from error

    @contextmanager
    def working_on(self, job_id: str) -> Iterator[None]:
        """Keep others away from a job, and from no other one; the lock ends with the process, however that ends."""
        path = self._path.with_name(f"{FILE_NAME}.{job_id}.lock")
        lock = apsw.Connection(str(path))
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except apsw.BusyError as error:
            lock.close()
            raise JobBusy(f"another process works on batch job {job_id}: wait until it is done") from error
        try:
            yield
        finally:
            job = self.job(job_id)
            if job is None or job.state in ("done", "refused"):
                # Nobody does anything for a job that is over, so that two who hold a lock of its name do no harm.
                with suppress(OSError):
                    path.unlink()
            lock.close(True)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """As `step`, for changes that depend on what is read within: nobody else writes meanwhile."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    @contextmanager
    def step(self) -> Iterator[None]:
        """All changes within are on disk together, or none is."""
        try:
            with self._connection:
                yield
        except apsw.Error as error:
            raise self._unusable(error) from error

    def add_job(self, job: Job, questions: Iterable[Question]) -> None:
        with self.step():
            self._put_job(job)
            self.put_items(Item(job.id, number, question) for number, question in enumerate(questions))

    def put_job(self, job: Job) -> None:
        with self.step():
            self._put_job(job)

    def job(self, job_id: str) -> Job | None:
        found = self._rows("SELECT record FROM job WHERE id = ?", (job_id,))
        return _job(json.loads(found[0][0])) if found else None

    def jobs(self, tenant: str, most: int | None = None) -> tuple[Job, ...]:
        """Jobs of a tenant, the oldest first; of more than `most` the latest."""
        sql = "SELECT record FROM job WHERE tenant = ? ORDER BY at DESC, rowid DESC LIMIT ?"
        rows = self._rows(sql, (tenant, -1 if most is None else most))
        return tuple(_job(json.loads(record)) for (record,) in reversed(rows))

    def open_job(self, tenant: str, digest: str) -> Job | None:
        """An unfinished job with the same questions."""
        sql = "SELECT record FROM job WHERE tenant = ? AND digest = ? AND state = 'open' ORDER BY at DESC LIMIT 1"
        found = self._rows(sql, (tenant, digest))
        return _job(json.loads(found[0][0])) if found else None

    def half_refused(self) -> tuple[Job, ...]:
        """Refused jobs with questions that are not marked as failed yet."""
        sql = (
            "SELECT record FROM job WHERE state = 'refused'"
            " AND EXISTS (SELECT 1 FROM item WHERE item.job = job.id AND item.state = 'planned')"
        )
        return tuple(_job(json.loads(record)) for (record,) in self._rows(sql))

    def put_part(self, part: Part) -> None:
        with self.step():
            self._run("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", (part.id, part.job, _dump(asdict(part))))

    def parts(self, job_id: str) -> tuple[Part, ...]:
        rows = self._rows("SELECT record FROM part WHERE job = ? ORDER BY rowid", (job_id,))
        return tuple(_part(json.loads(record)) for (record,) in rows)

    def put_items(self, items: Iterable[Item]) -> None:
        """Write items; what was asked for them stays as it is."""
        with self.step():
            self._connection.executemany(
                "INSERT INTO item (job, number, state, part, record) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job, number)"
                " DO UPDATE SET state = excluded.state, part = excluded.part, record = excluded.record",
                ((it.job, it.number, it.state, it.part, _dump(asdict(it))) for it in items),
            )

    def put_asked(self, item: Item, asked: Asked) -> None:
        """Write an item with its request.

        A prefix goes by all that is in it: one of the same text may be marked otherwise, by another job or tenant.
        """
        name, record = self._named(asked.request.prompt.prefix)
        with self.step():
            self.put_items([item])
            self._run("INSERT OR IGNORE INTO prefix VALUES (?, ?)", (name, record))
            values = (asked_to_json(asked), name, item.job, item.number)
            self._run("UPDATE item SET asked = ?, prefix = ? WHERE job = ? AND number = ?", values)

    def items(self, job_id: str, state: str) -> tuple[Item, ...]:
        return tuple(_item(json.loads(record)) for (record,) in self._rows(FIND_ITEMS, (job_id, state)))

    def all_items(self, job_id: str) -> tuple[Item, ...]:
        rows = self._rows("SELECT record FROM item WHERE job = ? ORDER BY number", (job_id,))
        return tuple(_item(json.loads(record)) for (record,) in rows)

    def items_of(self, part_id: str) -> tuple[Item, ...]:
        """What is planned in a part and has no result yet."""
        sql = "SELECT record FROM item WHERE part = ? AND state = 'planned' ORDER BY number"
        return tuple(_item(json.loads(record)) for (record,) in self._rows(sql, (part_id,)))

    def asked(self, items: Sequence[Item]) -> Iterator[Asked]:
        """The requests of items, in their order; equal prefixes are one object."""
        prefixes: dict[str, Prefix] = {}
        for item in items:
            sql = "SELECT asked, prefix FROM item WHERE job = ? AND number = ?"
            asked, digest = self._rows(sql, (item.job, item.number))[0]
            if digest not in prefixes:
                record = self._rows("SELECT record FROM prefix WHERE digest = ?", (digest,))[0][0]
                prefixes[digest] = prefix_from_json(record)
            yield asked_from_json(asked, prefixes[digest])

    def open_jobs(self, tenant: str, kind: JobKind) -> tuple[Job, ...]:
        """Jobs of a tenant that are not over, the oldest first."""
        sql = "SELECT record FROM job WHERE tenant = ? AND state IN ('open', 'cancelling') ORDER BY at, rowid"
        found = [_job(json.loads(record)) for (record,) in self._rows(sql, (tenant,))]
        return tuple(job for job in found if job.kind == kind)

    def contexts(self, tenant: str, names: Iterable[str]) -> dict[str, str]:
        """The contexts that are known by these names; an empty one was bought and is of no use."""
        sql = "SELECT text FROM context WHERE tenant = ? AND name = ?"
        found = ((name, self._rows(sql, (tenant, name))) for name in names)
        return {name: rows[0][0] for name, rows in found if rows}

    def keep_contexts(self, tenant: str, contexts: Mapping[str, str]) -> None:
        """Remember contexts that were paid for, so that none is bought twice."""
        with self.step():
            sql = "INSERT OR REPLACE INTO context VALUES (?, ?, ?)"
            self._connection.executemany(sql, [(tenant, name, text) for name, text in contexts.items()])

    def marks(self, tenant: str) -> dict[str, str]:
        """What is remembered of texts that got no vector, by their names."""
        sql = "SELECT name, text FROM context WHERE tenant = ? AND substr(name, 1, ?) = ?"
        return dict(self._rows(sql, (tenant, len(VECTOR), VECTOR)))

    def remotes(self) -> frozenset[str]:
        """All batches that are known to belong to some part."""
        records = (json.loads(record) for (record,) in self._rows("SELECT record FROM part"))
        return frozenset(record["remote"] for record in records if record["remote"])

    def close(self) -> None:
        self._connection.close(True)

    def _put_job(self, job: Job) -> None:
        values = (job.id, job.digest, job.account.tenant, job.state, job.at.isoformat(), _dump(asdict(job)))
        self._run(
            "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET state = excluded.state, record = excluded.record",
            values,
        )

    def _named(self, prefix: Prefix) -> tuple[str, str]:
        """A prefix as it is written, and the name for it; many requests in a row have the same one, which is large."""
        if self._last is None or self._last[0] is not prefix:
            record = prefix_to_json(prefix)
            self._last = prefix, (hashlib.sha256(record.encode()).hexdigest(), record)
        return self._last[1]

    def _unusable(self, error: Exception) -> LedgerError:
        return LedgerError(f"the journal of batches {self._path} cannot be read or written: {error}")

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
        version = self._rows("PRAGMA user_version")[0][0]
        if version > len(VERSIONS):
            raise LedgerError(f"the journal of batches {self._path} was written by a newer ragkit: upgrade ragkit")
        if version < len(VERSIONS):
            with self.turn():  # another one may have come first
                for number in range(self._rows("PRAGMA user_version")[0][0], len(VERSIONS)):
                    self._run(f"{VERSIONS[number]} PRAGMA user_version = {number + 1}")

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self._rows(sql, values)

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return list(self._connection.execute(sql, tuple(values)))
        except apsw.Error as error:
            raise self._unusable(error) from error


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, default=datetime.isoformat)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _job(record: dict[str, Any]) -> Job:
    account = Account(**{**record["account"], "tags": tuple(record["account"]["tags"])})
    filters = tuple((name, value) for name, value in record["filters"])
    at, deadline = datetime.fromisoformat(record["at"]), _time(record["deadline"])
    return Job(**{**record, "account": account, "at": at, "deadline": deadline, "filters": filters})


def _part(record: dict[str, Any]) -> Part:
    times = {"sent": _time(record["sent"]), "ended": _time(record["ended"])}
    return Part(**{**record, **times, "rejected": tuple(record["rejected"])})


def _item(record: dict[str, Any]) -> Item:
    return Item(**{**record, "question": Question(**record["question"])})
