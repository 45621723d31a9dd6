"""`/v1/usage`, `/v1/receipts`, `/v1/feedback` and `/v1/cache`: what the ledger tells a tenant about itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from ragkit.ledger import Cell
from ragkit.ledgers.overview import CacheUse
from ragkit.nouns import Receipt
from ragkit.receipt import receipt_to_json
from ragkit.reports.forecast import HISTORY, outlook, outlook_to_json, parse_forecast_window
from ragkit.reports.spending import By, Span, report, report_to_json
from ragkit_api.auth import Administering, Asking, Caller
from ragkit_api.declared import BODY, problems
from ragkit_api.problem import not_found
from ragkit_api.records import Feedback
from ragkit_api.schemas import Ago, Day, FeedbackBody, Hours, Id, Zone, moment

router = APIRouter(prefix="/v1", tags=["costs"])

Since = Annotated[Ago | Day, Query(description="A day, or how long ago, such as 7d or 24h.")]
Until = Annotated[Day | None, Query(description="A day; without one, now.")]
RATINGS = {"up": 1, "down": -1}


class UsageBody(BaseModel):
    by: str
    since: datetime
    until: datetime
    zone: str
    lines: list[dict[str, Any]]
    total: dict[str, Any]
    simulated_events: int


class ForecastBody(BaseModel):
    start: datetime
    end: datetime
    spent_usd: str
    simulated_usd: str
    forecast_usd: dict[str, Any]
    alerts: list[str]
    history_days: int
    rhythm: str


class ReceiptBody(BaseModel):
    id: str
    at: datetime
    events: list[dict[str, Any]]
    cost_usd: str | None
    baseline_usd: str | None
    saved_usd: str | None
    savings: list[dict[str, Any]]
    baseline_note: str
    price_version: str


class CacheBody(BaseModel):
    since: datetime
    questions: int
    tokens: dict[str, int]
    hit_rate: float | None
    prefixes: list[dict[str, Any]]


class FeedbackReply(BaseModel):
    receipt_id: str
    rating: Literal["up", "down"]


class FeedbackList(BaseModel):
    feedback: list[dict[str, Any]]


@router.get("/usage", responses=problems(), response_model=UsageBody)
async def get_usage(
    caller: Asking, by: By = "day", since: Since = "30d", until: Until = None, zone: Zone = "UTC"
) -> Any:
    """What was spent and saved, added up from the ledger."""
    span = _span(since, until, zone)
    ledger, when = caller.service.ledger, (span.since, span.until, caller.tenant)
    cells = await ledger.cells(*when)
    found = report_to_json(report(by, cells, await ledger.bills(*when), span))
    return {**found, "simulated_events": sum(cell.simulated for cell in cells)}


@router.get("/usage/forecast", responses=problems(), response_model=ForecastBody)
async def get_forecast(
    caller: Asking, per: Literal["hour", "day", "week", "month"] = "month", zone: Zone = "UTC"
) -> Any:
    """Where spending will stand at the end of the window, with an interval; an estimate."""
    now = datetime.now(UTC)
    cells: tuple[Cell, ...] = await caller.service.ledger.cells(now - HISTORY - timedelta(days=32), now, caller.tenant)
    return outlook_to_json(outlook(cells, parse_forecast_window(per, zone), now))


@router.get("/receipts/{receipt_id}", responses=problems(404), response_model=ReceiptBody)
async def get_receipt(receipt_id: Id, caller: Asking) -> Any:
    """The bill of an answer."""
    return receipt_to_json(await _receipt(caller, receipt_id))


@router.post("/feedback", status_code=201, responses=problems(404, *BODY), response_model=FeedbackReply)
async def post_feedback(body: FeedbackBody, caller: Asking) -> Any:
    """Say what somebody thought of an answer, by its receipt."""
    receipt = await _receipt(caller, body.receipt_id)
    said = Feedback(caller.tenant, caller.key, receipt.id, RATINGS[body.rating], body.comment)
    await caller.service.records.add_feedback(said)
    return {"receipt_id": receipt.id, "rating": body.rating}


@router.get("/feedback", responses=problems(), response_model=FeedbackList)
async def get_feedback(caller: Administering, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
    """The latest feedback, newest first."""
    found = await caller.service.records.feedback(caller.tenant, limit)
    names = {value: name for name, value in RATINGS.items()}
    return {
        "feedback": [
            {"at": at.isoformat(), "receipt_id": it.receipt, "rating": names[it.rating], "comment": it.comment}
            for at, it in found
        ]
    }


@router.get("/cache", responses=problems(), response_model=CacheBody)
async def get_cache(caller: Asking, since: Hours = "24h") -> Any:
    """What providers' caches did for this tenant: tokens by class, the share read, and the prefixes they were for."""
    span = _span(since, None, "UTC")
    questions, (total, *prefixes) = await caller.service.ledger.cache_use(span.since, span.until, caller.tenant)
    prompt = total.input + total.read + total.written
    return {
        "since": span.since.isoformat(),
        "questions": questions,
        "tokens": _tokens(total),
        "hit_rate": round(total.read / prompt, 6) if prompt else None,
        "prefixes": [{"digest": use.prefix, "calls": use.calls, **_tokens(use)} for use in prefixes],
    }


def _tokens(use: CacheUse) -> dict[str, int]:
    return {"input": use.input, "cache_read": use.read, "cache_write": use.written}


def _span(since: str, until: str | None, zone: str) -> Span:
    now = datetime.now(UTC)
    begin, end = moment(since, now, zone), moment(until, now, zone)
    return Span(min(begin, end), end, zone)


async def _receipt(caller: Caller, receipt_id: str) -> Receipt:
    receipt = await caller.service.ledger.receipt(caller.tenant, receipt_id)
    if receipt is None:
        raise not_found("receipt")
    return receipt
