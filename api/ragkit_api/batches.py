"""`/v1/batches`: many questions at half price, answered within a day; every step can be done again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ragkit.batches.job import Job, Question
from ragkit.batches.report import Report, report_to_json
from ragkit.batches.service import check_schema
from ragkit_api.auth import Asking, Caller
from ragkit_api.declared import BODY, ErrorDetail, problems
from ragkit_api.problem import not_found
from ragkit_api.schemas import BatchBody, CollectBody, Id
from ragkit_api.shape import model_of

router = APIRouter(prefix="/v1/batches", tags=["batches"])

NOW = (409, 501)
"""What a request that only begins some work may be told."""
Wait = Annotated[float, Query(ge=0, le=30, description="Seconds that the work on the job is given to end.")]


class BatchReply(BaseModel):
    """As `ragkit batch status --json` prints it; `answers` once they were asked for.

    `working` says that this process works on the job, `error` why the last work on it broke off.
    """

    job: str
    kind: str
    state: str
    reason: str
    resumed: bool
    at: datetime
    deadline: datetime | None
    questions: int
    counts: dict[str, int]
    held_usd: str
    cost_usd: str | None
    batches: list[dict[str, Any]]
    working: bool
    error: ErrorDetail | None
    answers: list[dict[str, Any]] | None = None


class BatchesBody(BaseModel):
    jobs: list[BatchReply]


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": BatchReply, "description": "The job, written down; look how far it is, and collect it later."}
}


@router.post("", status_code=202, responses=ACCEPTED | problems(*BODY, *NOW), response_class=JSONResponse)
async def post_batch(body: BatchBody, caller: Asking, request: Request) -> JSONResponse:
    """Write a job down and reply; retrieving, holding the money for all and submitting go on behind it.

    The same questions again continue their job, if it is not finished. One that a budget refuses gets the state
    `refused`, with the reason, and nothing of it is asked.
    """
    named = [Question(it.id or f"q{number}", it.question) for number, it in enumerate(body.questions, start=1)]
    within = body.within_hours
    deadline = None if within is None else datetime.now(UTC) + timedelta(hours=within)
    schema = None if body.response_schema is None else model_of(body.response_schema)
    account, batching = caller.account(body.user), caller.service.batching
    batching.check_room(caller.tenant)
    await caller.service.rag.store()  # without documents there is nothing to write down
    report = await batching.jobs.enter(
        named, schema=schema, account=account, k=body.k, filters=body.filters, deadline=deadline
    )
    job = report.job
    batching.begin(job, lambda batches: batches.advance(job.id, schema=schema, account=account))
    request.state.log["batch"] = job.id
    return JSONResponse(_told(caller, report), 202, {"location": f"/v1/batches/{job.id}"})


@router.get("", responses=problems(), response_model=BatchesBody, response_model_exclude_unset=True)
async def get_batches(caller: Asking, limit: Annotated[int, Query(ge=1, le=100)] = 100) -> Any:
    """The tenant's latest jobs, the oldest of them first."""
    reports = await asyncio.to_thread(caller.service.batching.jobs.jobs, caller.tenant, limit)
    return {"jobs": [_told(caller, report) for report in reports]}


@router.get(
    "/{job_id}",
    responses=problems(404, 501, 502),
    response_model=BatchReply,
    response_model_exclude_unset=True,
)
async def get_batch(job_id: Id, caller: Asking, wait: Wait = 0) -> Any:
    """How far a job is, as the journal and the providers say; nothing is changed."""
    await _find(caller, job_id)
    await caller.service.batching.wait(job_id, wait)
    return _told(caller, await caller.service.batching.jobs.status(job_id, account=caller.account()))


@router.post(
    "/{job_id}/collect",
    responses=problems(404, *BODY, *NOW),
    response_model=BatchReply,
    response_model_exclude_unset=True,
)
async def collect_batch(job_id: Id, body: CollectBody, caller: Asking, wait: Wait = 30) -> Any:
    """Verify and bill what was answered, send again what failed for free; `answers` has what there is by now.

    What takes longer than `wait` goes on behind the reply, which then says that the job is `working`.
    """
    job = await _find(caller, job_id)
    schema = None if body.response_schema is None else model_of(body.response_schema)
    check_schema(job, schema)
    account, batching = caller.account(), caller.service.batching
    if await batching.wait(job_id, wait):
        batching.begin(job, lambda batches: batches.collect(job_id, schema=schema, account=account))
        await batching.wait(job_id, wait)
    return _told(caller, await batching.jobs.report(job_id, account=account), answers=True)


@router.post(
    "/{job_id}/cancel", responses=problems(404, *NOW), response_model=BatchReply, response_model_exclude_unset=True
)
async def cancel_batch(job_id: Id, caller: Asking, wait: Wait = 30) -> Any:
    """Stop a job: what was worked off by now is kept and billed; collect it afterwards."""
    job = await _find(caller, job_id)
    account, batching = caller.account(), caller.service.batching
    batching.begin(job, lambda batches: batches.cancel(job_id, account=account), ends=True)
    await batching.wait(job_id, wait)
    return _told(caller, await batching.jobs.report(job_id, account=account))


def _told(caller: Caller, report: Report, *, answers: bool = False) -> dict[str, Any]:
    batching, job_id = caller.service.batching, report.job.id
    more = {"working": batching.working(job_id), "error": batching.errors.get(job_id)}
    return report_to_json(report, answers=answers) | more


async def _find(caller: Caller, job_id: str) -> Job:
    job = await caller.service.batching.jobs.find(job_id, account=caller.account())
    if job is None:
        raise not_found("job")
    return job
