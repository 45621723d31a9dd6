"""Ingests that run one after the other behind the requests that ask for them, each with its progress.

A collection, which takes what batches have brought for chunks, writes to the index too, and stands in the same line.
"""

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
from typing import TYPE_CHECKING, Any, Literal

from ragkit.errors import RagkitError
from ragkit.nouns import Account
from ragkit.rag import Ragkit
from ragkit_api.problem import Problem, body, log_unexpected
from ragkit_api.records import Deed, Records

if TYPE_CHECKING:
    from ragkit_ingest.pipeline import IngestOptions

State = Literal["waiting", "running", "done", "failed", "cancelled"]

MOST_WAITING = 32
MOST_REMEMBERED = 1000
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Upload:
    """Files in a folder of their own, which is a job's until that ends, and what is given for them."""

    sources: tuple[str, ...]
    folder: Path
    metadata: Mapping[str, str]


@dataclass(slots=True)
class Job:
    """An ingest of uploads, or a collection, which has none. `report` is as `ragkit ingest --json` prints it."""

    id: str
    account: Account
    upload: Upload | None
    at: datetime
    state: State = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    report: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def kind(self) -> Literal["ingest", "collect"]:
        return "collect" if self.upload is None else "ingest"

    @property
    def sources(self) -> tuple[str, ...]:
        return () if self.upload is None else self.upload.sources


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

    def collect(self, account: Account) -> Job:
        """Put a collection in the line; one of the tenant that still waits there will bring the same."""
        waits = (job for job in self.of(account.tenant) if job.kind == "collect" and job.state == "waiting")
        return next(waits, None) or self.add(account, None)

    def add(self, account: Account, upload: Upload | None) -> Job:
        """Put an ingest in the line, to which the folder of the upload belongs from here on, or a collection."""
        job = Job(uuid.uuid4().hex, account, upload, datetime.now(UTC))
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
        from ragkit_ingest.report import Progress, report_to_json

        def follow(progress: Progress) -> None:
            job.phase, job.done, job.total = progress.phase, progress.done, progress.total

        job.state = "running"
        paths, options = _work(job.upload)
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
        said = job.state if job.upload is None else f"{job.state}: {len(paths)} files"
        deed = Deed(job.account.key or "local", job.account.tenant, job.kind, job.id, said)
        with suppress(RagkitError):
            await self._records.note(deed)

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        if job.upload is not None:
            shutil.rmtree(job.upload.folder, ignore_errors=True)
        job.ended.set()


def _work(upload: Upload | None) -> tuple[list[Path], IngestOptions]:
    """What is read, and how."""
    from ragkit_ingest.pipeline import IngestOptions

    if upload is None:
        return [], IngestOptions(collect=True)
    given = tuple(upload.metadata.items())
    paths = [upload.folder / source for source in upload.sources]
    return paths, IngestOptions(delete_missing=False, here=upload.folder, uploaded=True, metadata=given)


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
        "kind": job.kind,
        "state": job.state,
        "at": job.at.isoformat(),
        "sources": list(job.sources),
        "progress": {"phase": job.phase, "done": job.done, "total": job.total},
        "report": job.report,
        "error": job.error,
    }
