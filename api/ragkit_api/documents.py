"""`/v1/documents` and `/v1/ingest`: what a tenant's documents are, and the jobs that change them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from pydantic import Field

from ragkit.errors import ConfigError, NoIndex
from ragkit.nouns import DocumentRecord
from ragkit_api.auth import Asking, Caller, Ingesting
from ragkit_api.declared import BODY, problems
from ragkit_api.jobs import Job, Upload, job_to_json, upload_folder
from ragkit_api.problem import Problem, not_found
from ragkit_api.records import Deed
from ragkit_api.schemas import (
    DeletedBody,
    DocumentsBody,
    Id,
    IngestBody,
    JobBody,
    JobsBody,
    MetadataPair,
    PassagesBody,
)

router = APIRouter(prefix="/v1", tags=["documents"])

MOST_FILES = 200
LONGEST_NAME = 200
BLOCK = 1 << 20
UNFIT = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": JobBody, "description": "The job, which runs by itself."}}
Files = Annotated[list[UploadFile], File(description="One or more files."), Field(min_length=1, max_length=MOST_FILES)]
Pairs = Annotated[
    list[MetadataPair], Form(description="What these documents can be found by, as `key=value`."), Field(max_length=16)
]
JobId = Annotated[Id, InPath(description="As in the reply to an upload.")]


def safe_source(name: str) -> str:
    """A name as a relative path that stays where it is put; `Problem` for one that says nothing."""
    parts = [_short(UNFIT.sub("_", part).strip(". ")) for part in PurePosixPath(name.replace("\\", "/")).parts]
    kept = [part for part in parts if part and part != "/"][-8:]
    if not kept:
        raise Problem(422, "invalid_request", "a document needs a name, such as manual.pdf")
    return "/".join(kept)


def _short(part: str) -> str:
    """At most as many bytes as a name may have anywhere, and still with its ending."""
    if len(part.encode()) <= LONGEST_NAME:
        return part
    stem, ending = part[:-9], PurePosixPath(part[-9:]).suffix
    return stem.encode()[: LONGEST_NAME - len(ending.encode())].decode(errors="ignore") + ending


@router.post("/documents", status_code=202, responses=ACCEPTED | problems(409, *BODY), response_class=JSONResponse)
async def post_documents(files: Files, caller: Ingesting, metadata: Pairs = []) -> JSONResponse:  # noqa: B006
    """Upload files; a document of the same name gets a new version, and its old one stays until that is whole."""
    caller.service.jobs.check_room()
    names = _names([file.filename or "" for file in files])
    given = _given((key, value) for key, _, value in (pair.partition("=") for pair in metadata))
    with upload_folder() as folder:
        left = caller.service.api.max_upload_mib * BLOCK
        for file, name in zip(files, names, strict=True):
            left = await _save(file, folder / name, left)
        return _accepted(caller.service.jobs.add(caller.account(), Upload(names, folder, given)))


@router.post("/ingest", status_code=202, responses=ACCEPTED | problems(409, *BODY), response_class=JSONResponse)
async def post_ingest(body: IngestBody, caller: Ingesting) -> JSONResponse:
    """Ingest documents that are texts; the format is told by the name, such as `manual.md`."""
    caller.service.jobs.check_room()
    names = _names([document.source for document in body.documents])
    given = _given(body.metadata.items())
    with upload_folder() as folder:
        for document, name in zip(body.documents, names, strict=True):
            await asyncio.to_thread(_write, folder / name, document.text)
        return _accepted(caller.service.jobs.add(caller.account(), Upload(names, folder, given)))


@router.post("/ingest/collect", status_code=202, responses=ACCEPTED | problems(), response_class=JSONResponse)
async def post_collect(caller: Ingesting) -> JSONResponse:
    """Take what batches have brought for the tenant's chunks, contexts and vectors, and ask again for what failed.

    The report of this job says what came and what still waits; while it does, collect again later.
    """
    caller.service.jobs.check_room()
    return _accepted(caller.service.jobs.collect(caller.account()))


@router.get("/ingest", responses=problems(), response_model=JobsBody)
async def get_jobs(caller: Ingesting, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Any:
    """The jobs of this process for this tenant, newest first."""
    jobs = [job for job, _ in zip(caller.service.jobs.of(caller.tenant), range(limit), strict=False)]
    return {"jobs": [job_to_json(job) for job in jobs]}


@router.get("/ingest/{job_id}", responses=problems(404), response_model=JobBody)
async def get_job(job_id: JobId, caller: Ingesting, wait: Annotated[float, Query(ge=0, le=30)] = 0) -> Any:
    """How far a job is; `wait` gives it so many seconds to end."""
    job = _job(caller, job_id)
    if wait:
        with suppress(TimeoutError):
            await asyncio.wait_for(job.ended.wait(), wait)
    return job_to_json(job)


@router.post("/ingest/{job_id}/cancel", responses=problems(404), response_model=JobBody)
async def cancel_job(job_id: JobId, caller: Ingesting) -> Any:
    """Stop a job; the documents that it has committed stay."""
    job = _job(caller, job_id)
    caller.service.jobs.cancel(job)
    return job_to_json(job)


@router.get("/documents", responses=problems(), response_model=DocumentsBody)
async def get_documents(
    caller: Asking,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=1024, description="The `next` of the page before.")] = "",
) -> Any:
    """The tenant's documents by name."""
    records = sorted(await _records(caller), key=lambda record: record.source)
    page = [record for record in records if record.source > after]
    following = page[limit - 1].source if len(page) > limit else None
    shown = [document_to_json(record) for record in page[:limit]]
    return {"documents": shown, "total": len(records), "next": following}


@router.get("/documents/{document_id}", responses=problems(404), response_model=PassagesBody)
async def get_document(document_id: Id, caller: Asking) -> Any:
    """A document, its metadata and versions, and its passages with their offsets: what citations point into."""
    from ragkit_ingest.facts import facts_of

    record = await _record(caller, document_id)
    chunks = await (await caller.service.rag.store()).chunks(caller.tenant, document_id)
    passages = [
        {"id": it.id, "start": it.start, "end": it.end, "section": list(it.section), "page": it.page, "text": it.text}
        for it in chunks
    ]
    versions = [
        {
            "version": it.number,
            "committed": it.committed,
            "sha256": it.digest,
            "chunks": it.chunks,
            "characters": it.characters,
        }
        for it in record.history
    ]
    return {**document_to_json(record), "metadata": facts_of(record), "versions": versions, "passages": passages}


@router.delete("/documents/{document_id}", responses=problems(404), response_model=DeletedBody)
async def delete_document(document_id: Id, caller: Ingesting) -> Any:
    """Delete a document: once this is answered, nobody finds it any more."""
    service = caller.service
    async with service.deadlines.one(), service.jobs.writing:
        record = await _record(caller, document_id)
        gone = await service.rag.remove([document_id], account=caller.account())
    await service.records.note(Deed(caller.actor, caller.tenant, "document.delete", document_id, record.source))
    return {"id": document_id, "deleted": True, "chunks": gone}


def document_to_json(record: DocumentRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "source": record.source,
        "title": record.title,
        "version": record.version,
        "chunks": record.chunks,
        "characters": record.characters,
        "modified": record.modified.isoformat(),
    }


async def _records(caller: Caller) -> tuple[DocumentRecord, ...]:
    """All commit records of the tenant; none before the first ingest."""
    try:
        store = await caller.service.rag.store()
    except NoIndex:
        return ()
    return await store.records(caller.tenant)


async def _record(caller: Caller, document_id: str) -> DocumentRecord:
    for record in await _records(caller):
        if record.id == document_id:
            return record
    raise not_found("document")


def _job(caller: Caller, job_id: str) -> Job:
    job = caller.service.jobs.find(caller.tenant, job_id)
    if job is None:
        raise not_found("job")
    return job


def _accepted(job: Job) -> JSONResponse:
    return JSONResponse(job_to_json(job), 202, {"location": f"/v1/ingest/{job.id}"})


def _names(given: list[str]) -> tuple[str, ...]:
    """Safe names, none of which is another one or the folder of another one."""
    names = tuple(safe_source(name) for name in given)
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    if len(names) > MOST_FILES:
        raise Problem(413, "too_large", f"at most {MOST_FILES} documents can be uploaded at once")
    if len(set(names)) < len(names) or folders & set(names):
        raise Problem(409, "name_conflict", "two documents have the same name: give each its own")
    return names


def _given(metadata: Iterable[tuple[str, str]]) -> dict[str, str]:
    from ragkit_ingest.facts import check_given

    try:
        return check_given(metadata)
    except ConfigError as error:
        raise Problem(422, "invalid_request", str(error)) from error


async def _save(file: UploadFile, path: Path, left: int) -> int:
    """Write an upload; how many bytes the others may still have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        while block := await file.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise Problem(413, "too_large", "the upload is too large: send the files one by one")
            await asyncio.to_thread(out.write, block)
    return left


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
