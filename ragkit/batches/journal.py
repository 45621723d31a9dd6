"""What was submitted, in a SQLite file beside the ledger: each step is on disk before the next one begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from ragkit.batches.codec import asked_from_json, asked_to_json, prefix_from_json, prefix_to_json
from ragkit.batches.job import Asked, Item, Job, JobKind, Part, Question
from ragkit.batches.journal_file import FILE_NAME, JournalFile
from ragkit.batches.records import item_from_json, job_from_json, part_from_json, record_to_json
from ragkit.errors import LedgerError
from ragkit.nouns import Prefix

__all__ = ["FILE_NAME", "VECTOR", "JobBusy", "Journal"]

VECTOR = "vector:"
"""Begins the names of texts in the table of contexts: there it is remembered what became of those without a vector."""
ITEMS_AT_ONCE = 64
"""Items that are read together: those that wait for delivery carry all that was bought, up to 64 vectors each."""


class JobBusy(LedgerError):
    """Somebody else works on the job."""


class Journal(JournalFile):
    """One connection, for one thread; whoever works on a job holds `working_on`, so that no step is taken twice."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._last: tuple[Prefix, tuple[str, str]] | None = None

    @contextmanager
    def working_on(self, job_id: str) -> Iterator[None]:
        """Keep others away from a job, and from no other one; the lock ends with the process, however that ends."""
        path = self.path.with_name(f"{FILE_NAME}.{job_id}.lock")
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

    def add_job(self, job: Job, questions: Iterable[Question]) -> None:
        with self.step():
            self.put_job(job)
            self.put_items(Item(job.id, number, question) for number, question in enumerate(questions))

    def put_job(self, job: Job) -> None:
        values = (job.id, job.digest, job.account.tenant, job.state, job.at.isoformat(), record_to_json(job))
        sql = (
            "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET state = excluded.state, record = excluded.record"
        )
        with self.step():
            self.run(sql, values)

    def job(self, job_id: str) -> Job | None:
        return next(iter(self._jobs("SELECT record FROM job WHERE id = ?", job_id)), None)

    def jobs(self, tenant: str, most: int | None = None) -> tuple[Job, ...]:
        """Jobs of a tenant, the oldest first; of more than `most` the latest."""
        sql = "SELECT record FROM job WHERE tenant = ? ORDER BY at DESC, rowid DESC LIMIT ?"
        return tuple(reversed(self._jobs(sql, tenant, -1 if most is None else most)))

    def open_job(self, tenant: str, digest: str) -> Job | None:
        """An unfinished job with the same questions."""
        sql = "SELECT record FROM job WHERE tenant = ? AND digest = ? AND state = 'open' ORDER BY at DESC LIMIT 1"
        return next(iter(self._jobs(sql, tenant, digest)), None)

    def open_jobs(self, tenant: str, kind: JobKind) -> tuple[Job, ...]:
        """Jobs of a tenant that are not over, the oldest first."""
        sql = "SELECT record FROM job WHERE tenant = ? AND state IN ('open', 'cancelling') ORDER BY at, rowid"
        return tuple(job for job in self._jobs(sql, tenant) if job.kind == kind)

    def half_refused(self) -> tuple[Job, ...]:
        """Refused jobs with questions that are not marked as failed yet."""
        return self._jobs(
            "SELECT record FROM job WHERE state = 'refused'"
            " AND EXISTS (SELECT 1 FROM item WHERE item.job = job.id AND item.state = 'planned')"
        )

    def put_part(self, part: Part) -> None:
        with self.step():
            values = (part.id, part.job, record_to_json(part))
            self.run("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", values)

    def parts(self, job_id: str) -> tuple[Part, ...]:
        rows = self.rows("SELECT record FROM part WHERE job = ? ORDER BY rowid", (job_id,))
        return tuple(part_from_json(record) for (record,) in rows)

    def remotes(self) -> frozenset[str]:
        """All batches that are known to belong to some part."""
        records = (json.loads(record) for (record,) in self.rows("SELECT record FROM part"))
        return frozenset(record["remote"] for record in records if record["remote"])

    def put_items(self, items: Iterable[Item]) -> None:
        """Write items; what was asked for them stays as it is."""
        sql = (
            "INSERT INTO item (job, number, state, part, record) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job, number)"
            " DO UPDATE SET state = excluded.state, part = excluded.part, record = excluded.record"
        )
        with self.step():
            self.run_each(sql, ((it.job, it.number, it.state, it.part, record_to_json(it)) for it in items))

    def put_asked(self, item: Item, asked: Asked) -> None:
        """Write an item with its request.

        A prefix goes by all that is in it: one of the same text may be marked otherwise, by another job or tenant.
        """
        name, record = self._named(asked.request.prompt.prefix)
        with self.step():
            self.put_items([item])
            self.run("INSERT OR IGNORE INTO prefix VALUES (?, ?)", (name, record))
            values = (asked_to_json(asked), name, item.job, item.number)
            self.run("UPDATE item SET asked = ?, prefix = ? WHERE job = ? AND number = ?", values)

    def items(self, job_id: str, state: str) -> tuple[Item, ...]:
        return self._items("SELECT record FROM item WHERE job = ? AND state = ? ORDER BY number", job_id, state)

    def all_items(self, job_id: str) -> tuple[Item, ...]:
        return tuple(self.each_item(job_id))

    def each_item(self, job_id: str) -> Iterator[Item]:
        """As `all_items`, a few at a time."""
        after = -1
        while found := self.items_after(job_id, after):
            yield from found
            after = found[-1].number

    def items_after(self, job_id: str, number: int) -> tuple[Item, ...]:
        """The next few items of a job."""
        sql = "SELECT record FROM item WHERE job = ? AND number > ? ORDER BY number LIMIT ?"
        return self._items(sql, job_id, number, ITEMS_AT_ONCE)

    def items_of(self, part_id: str) -> tuple[Item, ...]:
        """What is planned in a part and has no result yet."""
        return self._items("SELECT record FROM item WHERE part = ? AND state = 'planned' ORDER BY number", part_id)

    def is_settled(self, job_id: str) -> bool:
        """Whether each item has an answer or a reason why it has none."""
        sql = "SELECT 1 FROM item WHERE job = ? AND state NOT IN ('answered', 'failed') LIMIT 1"
        return not self.rows(sql, (job_id,))

    def asked(self, items: Sequence[Item]) -> Iterator[Asked]:
        """The requests of items, in their order; equal prefixes are one object."""
        prefixes: dict[str, Prefix] = {}
        for item in items:
            sql = "SELECT asked, prefix FROM item WHERE job = ? AND number = ?"
            asked, digest = self.rows(sql, (item.job, item.number))[0]
            if digest not in prefixes:
                record = self.rows("SELECT record FROM prefix WHERE digest = ?", (digest,))[0][0]
                prefixes[digest] = prefix_from_json(record)
            yield asked_from_json(asked, prefixes[digest])

    def want(self, tenant: str, item: Item, documents: Mapping[str, str]) -> None:
        """Write down what an item is to bring: names, each with the document that waits for it."""
        sql = "INSERT OR REPLACE INTO wanted (tenant, name, document, job, number) VALUES (?, ?, ?, ?, ?)"
        rows = ((tenant, name, document, item.job, item.number) for name, document in documents.items())
        with self.step():
            self.run_each(sql, rows)

    def wanted(self, tenant: str, names: Iterable[str], since: Collection[str] = ()) -> frozenset[str]:
        """Which of these names a job is to bring that is not over, or is one of the jobs `since`."""
        sql = (
            "SELECT name FROM wanted JOIN job ON job.id = wanted.job WHERE wanted.tenant = ?"
            " AND name IN (SELECT value FROM json_each(?))"
            " AND (job.state IN ('open', 'cancelling') OR job.id IN (SELECT value FROM json_each(?)))"
        )
        rows = self.rows(sql, (tenant, json.dumps(list(names)), json.dumps(list(since))))
        return frozenset(name for (name,) in rows)

    def put_arrived(self, items: Sequence[Item]) -> None:
        """Write items whose results are where they belong: nothing waits for them any more."""
        with self.step():
            self.put_items(items)
            keys = ((item.job, item.number) for item in items)
            self.run_each("UPDATE wanted SET arrived = 1 WHERE job = ? AND number = ?", keys)

    def waiting(self, tenant: str, kind: JobKind) -> dict[str, int]:
        """How many names each document waits for, where it waits for some.

        What failed counts until its job is over: then it is remembered what must not be asked for again.
        """
        sql = (
            "SELECT document, count(*) FROM job CROSS JOIN wanted ON wanted.job = job.id WHERE job.tenant = ?"
            " AND job.state IN ('open', 'cancelling') AND job.record ->> '$.kind' = ? AND NOT arrived GROUP BY document"
        )
        return dict(self.rows(sql, (tenant, kind)))

    def contexts(self, tenant: str, names: Iterable[str]) -> dict[str, str]:
        """The contexts that are known by these names; an empty one was bought and is of no use."""
        sql = "SELECT name, text FROM context WHERE tenant = ? AND name IN (SELECT value FROM json_each(?))"
        return dict(self.rows(sql, (tenant, json.dumps(list(names)))))

    def keep_contexts(self, tenant: str, contexts: Mapping[str, str]) -> None:
        """Remember contexts that were paid for, so that none is bought twice."""
        rows = ((tenant, name, text) for name, text in contexts.items())
        with self.step():
            self.run_each("INSERT OR REPLACE INTO context VALUES (?, ?, ?)", rows)

    def _jobs(self, sql: str, *values: str | int) -> tuple[Job, ...]:
        return tuple(job_from_json(record) for (record,) in self.rows(sql, values))

    def _items(self, sql: str, *values: str | int) -> tuple[Item, ...]:
        return tuple(item_from_json(record) for (record,) in self.rows(sql, values))

    def _named(self, prefix: Prefix) -> tuple[str, str]:
        """A prefix as it is written, and the name for it; many requests in a row have the same one, which is large."""
        if self._last is None or self._last[0] is not prefix:
            record = prefix_to_json(prefix)
            self._last = prefix, (hashlib.sha256(record.encode()).hexdigest(), record)
        return self._last[1]
