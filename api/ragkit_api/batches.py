"""`/v1/batches`: many questions at half price, answered within a day; every step can be done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ragkit.batches.job import Question
from ragkit.batches.report import Report, report_to_json
from ragkit_api.auth import Asking, Caller
from ragkit_api.declared import ASK, BODY, problems
from ragkit_api.problem import not_found
from ragkit_api.schemas import BatchBody, CollectBody, Id
from ragkit_api.shape import model_of

router = APIRouter(prefix="/v1/batches", tags=["batches"])

Work = Callable[[], Awaitable[Report]]


class BatchReply(BaseModel):
    """As `ragkit batch status --json` prints it; `answers` once they were asked for."""

    job: str
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
    answers: list[dict[str, Any]] | None = None


class BatchesBody(BaseModel):
    jobs: list[BatchReply]


ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": BatchReply, "description": "The job; collect it later."}}


@router.post("", status_code=202, responses=ACCEPTED | problems(*BODY, *ASK), response_class=JSONResponse)
async def post_batch(body: BatchBody, caller: Asking, request: Request) -> JSONResponse:
    """Retrieve and rerank now, hold the money for all, and submit; the same questions again continue their job."""
    named = [Question(it.id or f"q{number}", it.question) for number, it in enumerate(body.questions, start=1)]
    within = body.within_hours
    deadline = None if within is None else datetime.now(UTC) + timedelta(hours=within)
    schema = None if body.response_schema is None else model_of(body.response_schema)
    submit = partial(
        caller.service.rag.batches.submit,
        named,
        schema=schema,
        account=caller.account(body.user),
        k=body.k,
        filters=body.filters,
        deadline=deadline,
    )
    report = await _in_turn(caller, submit)
    request.state.log["batch"] = report.job.id
    return JSONResponse(report_to_json(report), 202, {"location": f"/v1/batches/{report.job.id}"})


@router.get("", responses=problems(), response_model=BatchesBody, response_model_exclude_unset=True)
async def get_batches(caller: Asking) -> Any:
    """The tenant's jobs, the oldest first."""
    return {"jobs": [report_to_json(report) for report in await _jobs(caller)]}


@router.get("/{job_id}", responses=problems(404, *ASK), response_model=BatchReply, response_model_exclude_unset=True)
async def get_batch(job_id: Id, caller: Asking) -> Any:
    """How far a job is, as the journal and the providers say; nothing is changed."""
    await _check(caller, job_id)
    return report_to_json(await caller.service.rag.batches.status(job_id, account=caller.account()))


@router.post(
    "/{job_id}/collect",
    responses=problems(404, *BODY, *ASK),
    response_model=BatchReply,
    response_model_exclude_unset=True,
)
async def collect_batch(job_id: Id, body: CollectBody, caller: Asking) -> Any:
    """Verify and bill what was answered, send again what failed for free; `answers` has what there is by now."""
    await _check(caller, job_id)
    schema = None if body.response_schema is None else model_of(body.response_schema)
    collect = partial(caller.service.rag.batches.collect, job_id, schema=schema, account=caller.account())
    return report_to_json(await _in_turn(caller, collect), answers=True)


@router.post(
    "/{job_id}/cancel", responses=problems(404, *ASK), response_model=BatchReply, response_model_exclude_unset=True
)
async def cancel_batch(job_id: Id, caller: Asking) -> Any:
    """Stop a job: what was worked off by now is kept and billed; collect it afterwards."""
    await _check(caller, job_id)
    cancel = partial(caller.service.rag.batches.cancel, job_id, account=caller.account())
    return report_to_json(await _in_turn(caller, cancel))


async def _in_turn(caller: Caller, work: Work) -> Report:
    """One job is worked on at a time, and goes on when its client leaves; a step that is broken off is done again."""
    service = caller.service

    async def one() -> Report:
        async with service.deadlines.one(), service.batching:
            return await work()

    return await service.detached.run(one())


async def _jobs(caller: Caller) -> tuple[Report, ...]:
    return await asyncio.to_thread(caller.service.rag.batches.jobs, caller.tenant)


async def _check(caller: Caller, job_id: str) -> None:
    if not any(report.job.id == job_id for report in await _jobs(caller)):
        raise not_found("job")
