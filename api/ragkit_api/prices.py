"""`/v1/prices`: the dated price table that receipts are computed from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from ragkit.errors import ConfigError
from ragkit.nouns import Lane
from ragkit.prices.listing import Choice, listed, spec_to_json
from ragkit_api.auth import Asking
from ragkit_api.declared import problems
from ragkit_api.schemas import Name

router = APIRouter(prefix="/v1", tags=["costs"])


class PricesBody(BaseModel):
    at: datetime
    version: str
    models: list[dict[str, Any]]


@router.get("/prices", responses=problems(), response_model=PricesBody)
async def get_prices(
    caller: Asking,
    provider: Annotated[Name | None, Query()] = None,
    kind: Literal["generate", "embed", "rerank", "decide"] | None = None,
    lane: Lane = "standard",
) -> Any:
    """Dollars per million tokens, by model, as they are today."""
    catalogue, now = caller.service.catalogue, datetime.now(UTC)
    choice = Choice(now, provider=provider, kind=kind, lane=lane)
    try:
        found = [spec_to_json(spec, bands, choice) for spec, bands in listed(catalogue, choice)]
    except ConfigError:
        found = []
    return {"at": now, "version": catalogue.version, "models": found}
