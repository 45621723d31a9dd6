"""Ingests that run one after the other behind the requests that ask for them, each with its progress."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import RagkitError
from ragkit.nouns import Account
from ragkit.rag import Ragkit
from ragkit_api.problem import Problem, body, log_unexpected
from ragkit_api.records import Deed, Records

State = Literal["waiting", "running", "done", "failed", "cancelled"]

MOST_WAITING = 32
MOST_REMEMBERED = 1000
ENDED = ("done", "failed", "cancelled")


@dataclass(slots=True)
class Job:
    """An ingest; `folder` holds the uploaded files until it ends. `report` is as `ragkit ingest --json` prints it."""

    id: str
    account: Account
    sources: tuple[str, ...]
    folder: Path
    metadata: Mapping[str, str]
    at: datetime
    state: State = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Jobs:
    """Runs the jobs in turn: documents of an index have one writer. `writing` is free while none is."""

    def __init__(self, rag: Ragkit, records: Records) -> None:
        self._rag = rag
        self._records = records
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._current: tuple[Job, asyncio.Task[None]] | None = None
        self.writing = asyncio.Lock()

    @property
    def pending(self) -> int:
        return sum(job.state not in ENDED for job in self._jobs.values())

    def add(self, account: Account, sources: tuple[str, ...], folder: Path, metadata: Mapping[str, str]) -> Job:
        """Put an ingest of the files in a folder in the line; the folder is the job's from here on."""
        job = Job(uuid.uuid4().hex, account, sources, folder, metadata, datetime.now(UTC))
        self._jobs[job.id] = job
        while len(self._jobs) > MOST_REMEMBERED:
            self._jobs.popitem(last=False)
        self._queue.put_nowait(job)
        return job

    def check_room(self) -> None:
        """Before an upload is read."""
        if self.pending >= MOST_WAITING:
            raise Problem(503, "overloaded", "too many ingests wait already: upload again later", retry_after=10)

    def find(self, tenant: str, job_id: str) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.account.tenant == tenant else None

    def of(self, tenant: str) -> Iterator[Job]:
        """The jobs of a tenant, newest first."""
        return (job for job in reversed(self._jobs.values()) if job.account.tenant == tenant)

    def cancel(self, job: Job) -> None:
        """Stop a job; what it has committed stays."""
        if job.state == "waiting":
            self._end(job, "cancelled")
        elif self._current is not None and self._current[0] is job:
            self._current[1].cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Jobs]:
        """The line moves for the length of a block."""
        task = asyncio.create_task(self._work())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for job in self._jobs.values():
                if job.state not in ENDED:
                    self._end(job, "cancelled")

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            if job.state != "waiting":
                continue
            async with self.writing:
                task = asyncio.create_task(self._run(job))
                self._current = job, task
                try:
                    await asyncio.wait({task})
                finally:
                    task.cancel()
                    await asyncio.wait({task})
                    self._current = None

    async def _run(self, job: Job) -> None:
        from ragkit_ingest.pipeline import IngestOptions
        from ragkit_ingest.report import Progress, report_to_json

        def follow(progress: Progress) -> None:
            job.phase, job.done, job.total = progress.phase, progress.done, progress.total

        job.state = "running"
        paths = [job.folder / source for source in job.sources]
        given = tuple(job.metadata.items())
        options = IngestOptions(delete_missing=False, here=job.folder, uploaded=True, metadata=given)
        try:
            found = await self._rag.ingest(paths, options=options, progress=follow, account=job.account)
            job.report = report_to_json(found)
            job.error = None if found.first_error is None else body(found.first_error)["error"]
            self._end(job, "done")
        except asyncio.CancelledError:
            self._end(job, "cancelled")
        except RagkitError as error:
            job.error = body(error)["error"]
            self._end(job, "failed")
        except Exception as error:
            log_unexpected(error)
            job.error = body(error)["error"]
            self._end(job, "failed")
        said = f"{job.state}: {len(paths)} files"
        deed = Deed(job.account.key or "local", job.account.tenant, "ingest", job.id, said)
        with suppress(RagkitError):
            await self._records.note(deed)

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        shutil.rmtree(job.folder, ignore_errors=True)
        job.ended.set()


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder for the files of a job, deleted again if the block fails before a job has it."""
    folder = Path(tempfile.mkdtemp(prefix="ragkit-upload-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def job_to_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "state": job.state,
        "at": job.at.isoformat(),
        "sources": list(job.sources),
        "progress": {"phase": job.phase, "done": job.done, "total": job.total},
        "report": job.report,
        "error": job.error,
    }
