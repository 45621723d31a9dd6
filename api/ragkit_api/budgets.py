"""`/v1/budgets`: the limits of a tenant, where they stand, and how its administrators change them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from ragkit.budget import Budget, Scope, Standing, parse_limit
from ragkit.money import format_usd
from ragkit.reports.spending import usd
from ragkit.window import parse_window
from ragkit_api.auth import Administering, Asking, Caller
from ragkit_api.declared import BODY, problems
from ragkit_api.problem import not_found
from ragkit_api.records import Deed
from ragkit_api.schemas import BudgetBody

router = APIRouter(prefix="/v1", tags=["budgets"])


class BudgetReply(BaseModel):
    scope: str
    subject: str
    window: str
    zone: str
    limit_usd: str | None
    on_exceed: str


class BudgetsBody(BaseModel):
    budgets: list[BudgetReply]
    standings: list[dict[str, Any]]


@router.get("/budgets", responses=problems(), response_model=BudgetsBody)
async def get_budgets(caller: Asking) -> Any:
    """The budgets of this tenant, its users, tags and keys, and where they stand; those above it are not shown."""
    ledger = caller.service.ledger
    mine = await _mine(caller)
    budgets = [it for it in await ledger.budgets() if _is_mine(caller, mine, it.scope, it.subject)]
    standings = [
        it for it in await ledger.all_standings() if _is_mine(caller, mine, it.charge.budget.scope, it.charge.subject)
    ]
    return {
        "budgets": [budget_to_json(budget) for budget in budgets],
        "standings": [standing_to_json(standing) for standing in standings],
    }


@router.put("/budgets", responses=problems(404, *BODY), response_model=BudgetReply)
async def put_budget(body: BudgetBody, caller: Administering) -> Any:
    """Set a limit, or end it with null; what was spent in the current window before counts."""
    scope, subject = _target(caller, body.whom)
    if scope == "key" and subject not in await _mine(caller):
        raise not_found("key")
    limit = None if body.limit_usd is None else parse_limit(body.limit_usd)
    budget = Budget(scope, subject, parse_window(body.per, body.zone), limit, body.on_exceed)
    await caller.service.ledger.set_budget(budget, body.note)
    detail = f"{body.limit_usd or 'no limit'} per {budget.window}"
    await caller.service.records.note(Deed(caller.actor, caller.tenant, "budget.set", budget.whom, detail))
    return budget_to_json(budget)


def budget_to_json(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope,
        "subject": budget.subject,
        "window": budget.window.name,
        "zone": budget.window.zone,
        "limit_usd": usd(budget.limit_pico),
        "on_exceed": budget.on_exceed,
    }


def standing_to_json(standing: Standing) -> dict[str, Any]:
    return {
        "whom": standing.charge.whom,
        "window": standing.charge.budget.window.name,
        "limit_usd": format_usd(standing.limit_pico),
        "spent_usd": format_usd(standing.posted_pico),
        "simulated_usd": format_usd(standing.simulated_pico),
        "held_usd": format_usd(standing.held_pico),
        "left_usd": format_usd(standing.left_pico),
        "resets": standing.resets.isoformat() if standing.resets else None,
    }


def _target(caller: Caller, whom: str) -> tuple[Scope, str]:
    """A budget of the caller's own tenant, whatever the body says."""
    scope, _, name = whom.partition("=")
    if scope == "tenant":
        return "tenant", caller.tenant
    if scope == "key":
        return "key", name
    return ("user" if scope == "user" else "tag"), f"{caller.tenant}/{name}"


async def _mine(caller: Caller) -> set[str]:
    return {key.id for key in await caller.service.records.keys(caller.tenant)}


def _is_mine(caller: Caller, keys: set[str], scope: Scope, subject: str) -> bool:
    if scope == "tenant":
        return subject == caller.tenant
    if scope == "key":
        return subject in keys
    return scope in ("user", "tag") and subject.startswith(f"{caller.tenant}/")
