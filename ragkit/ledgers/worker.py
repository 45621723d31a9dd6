"""One thread that owns one connection and commits all queued work at once: one sync to disk for many callers."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ragkit.errors import LedgerError, RagkitError

T = TypeVar("T")
Row = tuple[Any, ...]

BATCH = 64
"""Most jobs per commit: more of them share a sync to disk, but the first waits for the last."""


class Unreachable(LedgerError):
    """Not even a transaction could be begun; there is no use in trying the rest of a batch one by one."""


class Session(Protocol):
    """A database connection that speaks `?` placeholders and raises `LedgerError` only."""

    def begin(self) -> None: ...

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]: ...

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        """The same statement for many rows, without results."""
        ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class Transaction(Protocol):
    """What jobs work on; `flush` writes what it kept back before the commit.

    `retry` says that the jobs were tried before, in a commit that failed or whose outcome nobody learnt.
    """

    retry: bool

    def flush(self) -> None: ...


X = TypeVar("X", bound=Transaction)


@dataclass(eq=False, slots=True)
class _Job:
    """`future` is None where nobody waits for the outcome."""

    work: Callable[[Any], Any]
    loop: asyncio.AbstractEventLoop | None = None
    future: asyncio.Future[Any] | None = None
    value: Any = None
    error: BaseException | None = None


class Worker:
    """Runs jobs against a session in batches. It connects on the first job and again after each failure.

    `upkeep` is run in the first transaction of each session and then every `interval` seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        transaction: Callable[[Session], Transaction],
        *,
        upkeep: Callable[[Any], Any] | None = None,
        interval: float = 30.0,
        patience: float = 10.0,
    ) -> None:
        self._connect = connect
        self._transaction = transaction
        self._upkeep = upkeep
        self._interval = interval
        self._patience = patience
        self._session: Session | None = None
        self._due = 0.0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="ragkit-ledger", daemon=True)
        self._thread.start()

    async def run(
        self, work: Callable[[Any], T], *, undo: Callable[[Any], Any] | None = None, patience: float | None = None
    ) -> T:
        """The outcome of `work`, once it is committed.

        A caller that stops waiting leaves `work` in the queue; `undo` is then queued behind it.
        """
        if self._closed:
            raise LedgerError("the ledger is closed: open it again")
        patience = self._patience if patience is None else patience
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        try:
            async with asyncio.timeout(patience):
                return await future
        except TimeoutError as error:
            self._give_up(undo)
            raise LedgerError(f"the ledger did not answer within {patience:g} s: check its disk or server") from error
        except asyncio.CancelledError:
            self._give_up(undo)
            raise

    def _give_up(self, undo: Callable[[Any], Any] | None) -> None:
        if undo is not None:
            self._jobs.put(_Job(undo))

    async def aclose(self) -> None:
        """Finish what is queued, then close the connection."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, self._patience)

    def _loop(self) -> None:
        open_ = True
        while open_:
            jobs, open_ = self._take()
            if jobs or open_:
                self._run(jobs)
                _deliver(jobs)
        self._drop()

    def _take(self) -> tuple[list[_Job], bool]:
        """All jobs that wait; none after a quiet interval, when the upkeep is due."""
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=self._interval if self._upkeep else None)
            while job is not None:
                jobs.append(job)
                if len(jobs) == BATCH:
                    return jobs, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, False

    def _run(self, jobs: list[_Job]) -> None:
        """All jobs in one transaction; if that fails, each in its own, so that one cannot spoil the others."""
        failure = self._attempt(jobs)
        if failure is None:
            return
        if len(jobs) < 2 or isinstance(failure, Unreachable):
            for job in jobs:
                job.error = failure
            return
        for number, job in enumerate(jobs):
            job.error = self._attempt([job], retry=True) or job.error
            if isinstance(job.error, Unreachable):
                self._run_none(jobs[number:], job.error)
                return

    def _run_none(self, jobs: Sequence[_Job], error: Unreachable) -> None:
        for job in jobs:
            job.error = error

    def _attempt(self, jobs: Sequence[_Job], *, retry: bool = False) -> Exception | None:
        """Run and commit; what went wrong with the transaction itself, not with what a job found out."""
        try:
            session = self._open()
            session.begin()
        except LedgerError as error:
            self._drop()
            failure = Unreachable(str(error))
            failure.__cause__ = error.__cause__
            return failure
        try:
            transaction = self._transaction(session)
            transaction.retry = retry
            self._maintain(transaction)
            for job in jobs:
                _attempt(job, transaction)
            transaction.flush()
            session.commit()
        except Exception as error:
            self._drop()
            return error
        return None

    def _open(self) -> Session:
        if self._session is None:
            self._session = self._connect()
            self._due = 0.0
        return self._session

    def _maintain(self, transaction: Transaction) -> None:
        """The upkeep when it is due; it is not due again at once where it fails."""
        if self._upkeep is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            self._upkeep(transaction)

    def _drop(self) -> None:
        """Close the connection, which rolls back what is uncommitted."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(LedgerError):
                session.close()


def _attempt(job: _Job, transaction: Transaction) -> None:
    """A refusal of ours is an outcome like any other: the rules are that it comes before the job's first write."""
    try:
        job.value, job.error = job.work(transaction), None
    except LedgerError:
        raise
    except RagkitError as refusal:
        job.value, job.error = None, refusal


def _deliver(jobs: Sequence[_Job]) -> None:
    """Wake each event loop once for all of its jobs."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        if job.loop is not None:
            loops.setdefault(job.loop, []).append(job)
    for loop, its in loops.items():
        # A loop that is closed has cancelled its tasks, and they have queued their undoing.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, its)


def _resolve(jobs: Sequence[_Job]) -> None:
    """Each caller gets an error of its own: whoever catches one may hang a receipt on it."""
    for job in jobs:
        if job.future is None or job.future.done():
            continue
        if isinstance(job.error, LedgerError):
            error = LedgerError(str(job.error))
            error.__cause__ = job.error.__cause__ or job.error
            job.future.set_exception(error)
        elif job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.value)
