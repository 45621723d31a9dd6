"""Work on batch jobs behind the requests that ask for it: each job by one task, different ones side by side.

A job has no deadline of a question. It ends early only at a step that is written down, when it is cancelled or the
service is stopped, and can be continued there. What it asks live waits for its tenant's turn like any other question.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from ragkit.batches.job import Job
from ragkit.batches.journal import JobBusy
from ragkit.batches.registry import BatchApis
from ragkit.batches.report import Report
from ragkit.batches.sending import Env
from ragkit.batches.service import Batches
from ragkit.nouns import Answer, Query
from ragkit.outcome import Ready
from ragkit.rag import Ragkit
from ragkit.store import Store
from ragkit_api.attached import Detached
from ragkit_api.overload import Deadlines, Gate, shutting_down
from ragkit_api.problem import Problem, body, log_unexpected

Work = Callable[[Batches], Awaitable[Report]]
EDGES = frozenset(("prepared one", "prepared", "planned", "held", "submitted", "live", "collected one", "collected"))
"""Steps after which all is written down, so that nothing has to be looked up when the job goes on."""
MOST = 64
MOST_OF_ONE = 16
"""Jobs that are worked on at once, of all tenants and of one."""
IN_LINE = 4
"""Questions of a tenant's batches that are asked or wait for it at once; the rest of its places is for others."""
MOST_REMEMBERED = 1000


class Stopped(Exception):
    """A job is to be left at this step."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A task that works on a job; `ends` says that it is to give the job up."""

    job: Job
    task: asyncio.Task[None]
    stop: asyncio.Event
    ends: bool


class Batching:
    """`errors` tells by job why the last work on it broke off."""

    def __init__(
        self, rag: Ragkit, gate: Gate, deadlines: Deadlines, detached: Detached, env: Env | None = None
    ) -> None:
        self._rag = rag
        self._gate = gate
        self._deadlines = deadlines
        self._detached = detached
        self._env = env or Env()
        self._apis = BatchApis(rag.parts.settings.providers)
        self._runs: dict[str, Run] = {}
        self._lines: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._errors: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.jobs = Batches(rag.parts, rag, self._env, self._apis)

    @property
    def errors(self) -> Mapping[str, dict[str, Any]]:
        return self._errors

    def check_room(self, tenant: str) -> None:
        """Before a job is written down."""
        mine = sum(run.job.account.tenant == tenant for run in self._runs.values())
        if self._gate.closed:
            raise shutting_down()
        if len(self._runs) >= MOST or mine >= MOST_OF_ONE:
            raise Problem(503, "overloaded", "too many batches are worked on: submit again later", retry_after=10)

    def working(self, job_id: str) -> bool:
        return job_id in self._runs

    def begin(self, job: Job, work: Work, *, ends: bool = False) -> None:
        """Work on a job; one that is worked on already is left at that, or with `ends` first brought to a stop."""
        before = self._runs.get(job.id)
        if self._gate.closed:
            raise shutting_down()
        if before is not None:
            if before.ends or not ends:
                return
            before.stop.set()
        stop = asyncio.Event()
        task = self._detached.start(self._run(job, work, stop, None if before is None else before.task))
        self._runs[job.id] = Run(job, task, stop, ends)

    async def wait(self, job_id: str, seconds: float) -> bool:
        """Give the work on a job so many seconds to end; whether nothing goes on for it then."""
        run = self._runs.get(job_id)
        if run is not None and seconds:
            await asyncio.wait({run.task}, timeout=seconds)
        return not self.working(job_id)

    async def aclose(self) -> None:
        await self._apis.aclose()

    async def _run(self, job: Job, work: Work, stop: asyncio.Event, before: asyncio.Task[None] | None) -> None:
        def at(step: str) -> None:
            self._env.at(step)
            if step in EDGES:
                self._check(stop)

        try:
            async with self._deadlines.work():
                if before is not None:
                    await asyncio.wait({before})
                line = self._lines.setdefault(job.account.tenant, asyncio.Semaphore(IN_LINE))
                asker = _Asker(self._rag, line, self._gate, lambda: self._check(stop))
                await work(Batches(self._rag.parts, asker, replace(self._env, at=at), self._apis))
            self._errors.pop(job.id, None)
        except Stopped:
            pass
        except JobBusy as error:
            self._remember(job.id, Problem(409, "job_busy", str(error)))
        except Exception as error:
            self._remember(job.id, error)
        finally:
            if (run := self._runs.get(job.id)) is not None and run.stop is stop:
                del self._runs[job.id]

    def _check(self, stop: asyncio.Event) -> None:
        if self._gate.closed:
            raise shutting_down()
        if stop.is_set():
            raise Stopped

    def _remember(self, job_id: str, error: Exception) -> None:
        log_unexpected(error)
        self._errors.pop(job_id, None)
        self._errors[job_id] = body(error)["error"]
        if len(self._errors) > MOST_REMEMBERED:
            self._errors.popitem(last=False)


class _Asker:
    """Asks when it is the tenant's turn among all questions, and stops before one rather than within it."""

    def __init__(self, rag: Ragkit, line: asyncio.Semaphore, gate: Gate, check: Callable[[], None]) -> None:
        self._rag = rag
        self._line = line
        self._gate = gate
        self._check = check

    async def prepare(self, query: Query) -> Ready | Answer:
        async with self._turn(query.account.tenant):
            return await self._rag.prepare(query)

    async def answer(self, query: Query, *, purchase: str = "") -> Answer:
        async with self._turn(query.account.tenant):
            return await self._rag.answer(query, purchase=purchase)

    async def preview(self, query: Query) -> Ready | None:
        return await self._rag.preview(query)

    async def store(self) -> Store:
        return await self._rag.store()

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        async with self._line, self._slot(tenant):
            self._check()
            yield

    @asynccontextmanager
    async def _slot(self, tenant: str) -> AsyncIterator[None]:
        """Nobody waits for a batch: where there is no place, it comes again later."""
        while True:
            self._check()
            slot = self._gate.slot(tenant)
            try:
                await slot.__aenter__()
                break
            except Problem as refusal:
                if refusal.code != "overloaded":
                    raise
                await asyncio.sleep(max(1.0, refusal.retry_after or 0.0))
        try:
            yield
        finally:
            await slot.__aexit__(None, None, None)
