"""`/v1/whoami`, `/v1/routes` and `/v1/cache/prefixes`: what the pages show beside answers, costs and documents."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from ragkit import __version__
from ragkit.bill import SIMULATED
from ragkit.caching.file import FILE_NAME, CacheFile
from ragkit.caching.report import CacheReport, cache_report, report_to_json
from ragkit.ledgers.overview import Served
from ragkit.nouns import Receipt
from ragkit.reports.spending import usd
from ragkit.savings import ABSTAINED, CALLS, UNASKED
from ragkit_api.auth import Asking, Caller, get_caller
from ragkit_api.declared import problems
from ragkit_api.schemas import Hours, moment

router = APIRouter(prefix="/v1")

MOST_LINES = 100
"""Lines that are told, the busiest first."""
WHY_UNASKED = {
    "cache": "answered before, and nothing that the answer depends on has changed",
    "extractive": "no model was asked: copied sentences answered, or the evidence was too weak for anybody",
    ABSTAINED: "no model was asked: nothing was found, or the evidence was too weak for anybody",
}


class WhoBody(BaseModel):
    tenant: str
    key: str | None
    scopes: list[str]
    version: str


class RoutesBody(BaseModel):
    since: datetime
    questions: int
    simulated: int
    routes: list[dict[str, Any]]
    latest: list[dict[str, Any]]


class PrefixesBody(BaseModel):
    lines: list[dict[str, Any]]
    answers: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Which model gave an answer and why, as its receipt tells it. `calls` are all that it took."""

    receipt: Receipt
    tier: str
    model: str
    reason: str
    calls: int
    simulated: bool


@router.get("/whoami", responses=problems(), response_model=WhoBody, tags=["operations"])
async def get_whoami(caller: Annotated[Caller, Depends(get_caller)]) -> Any:
    """Whose documents and costs a key sees, and what it may do; `key` is its id, null where there are no keys."""
    return {"tenant": caller.tenant, "key": caller.key, "scopes": list(caller.scopes), "version": __version__}


@router.get("/routes", responses=problems(), response_model=RoutesBody, tags=["costs"])
async def get_routes(caller: Asking, since: Hours = "24h", limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Any:
    """Which models answered and what that cost, with the latest decisions and their reasons, newest first."""
    now = datetime.now(UTC)
    start = moment(since, now, "UTC")
    ledger, when = caller.service.ledger, (start, now, caller.tenant)
    served, latest = await ledger.served(*when), await ledger.latest(*when, limit)
    return {
        "since": start,
        "questions": sum(group.questions for group in served),
        "simulated": sum(group.simulated for group in served),
        "routes": [_sums(group) for group in served],
        "latest": [_told(decision) for receipt in latest if (decision := decision_of(receipt))],
    }


@router.get("/cache/prefixes", responses=problems(), response_model=PrefixesBody, tags=["costs"])
async def get_prefixes(caller: Asking) -> Any:
    """Which documents are hot for this tenant and what that saved, or why nothing is; how many answers are kept."""
    found = report_to_json(await asyncio.to_thread(_prefixes, caller))
    return {"lines": found["lines"], "answers": sum(found["answers"].values())}


def decision_of(receipt: Receipt) -> Decision | None:
    """By its receipt: the last generation made an answer, else a lever that replaced it; None where neither did.

    What was declined for nothing is no answer of anybody's, whoever was asked: its tier says so.
    """
    calls = [event for event in receipt.events if event.kind in CALLS]
    levers = [saving.lever for saving in receipt.savings if saving.lever in UNASKED]
    free = UNASKED[levers[0]] if levers else None
    declined = ABSTAINED if ABSTAINED in levers else None
    if not calls:
        return None if free is None else Decision(receipt, declined or free, free, WHY_UNASKED.get(free, ""), 0, False)
    simulated = any(event.reason.startswith(SIMULATED) for event in calls)
    last = calls[-1]
    reason = last.reason.removeprefix(SIMULATED)
    return Decision(receipt, declined or last.tier or free or "none", last.model, reason, len(calls), simulated)


def _sums(group: Served) -> dict[str, Any]:
    """Costs that nobody knows are counted, never added."""
    return {
        "tier": group.tier,
        "model": group.model,
        "questions": group.questions,
        "cost_usd": usd(group.cost_pico),
        "unknown_costs": group.unknown,
        "baseline_usd": usd(group.baseline_pico),
        "more_than_one_call": group.more_than_one_call,
        "seconds": round(group.seconds / group.questions, 6),
        "simulated": group.simulated,
    }


def _told(decision: Decision) -> dict[str, Any]:
    receipt = decision.receipt
    return {
        "receipt_id": receipt.id,
        "at": receipt.at,
        "tier": decision.tier,
        "model": decision.model,
        "reason": decision.reason,
        "calls": decision.calls,
        "simulated": decision.simulated,
        "cost_usd": usd(receipt.cost_pico),
        "saved_usd": usd(receipt.saved_pico),
    }


def _prefixes(caller: Caller) -> CacheReport:
    """Read beside the process that writes the file; what it learnt in the last seconds may be missing."""
    service = caller.service
    path = service.settings.store.path / FILE_NAME
    file = CacheFile(path if path.exists() else None)
    try:
        keep_alive = service.settings.cache.keep_alive
        return cache_report(
            file, service.catalogue, datetime.now(UTC), caller.tenant, MOST_LINES, keep_alive=keep_alive
        )
    finally:
        file.close()
