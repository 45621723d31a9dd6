"""`/healthz`, `/readyz` and `/metrics`: what a supervisor asks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from ragkit.errors import NoIndex
from ragkit_api.auth import Watching, get_service
from ragkit_api.declared import SENTENCES, ErrorBody, problems
from ragkit_api.observe import CONTENT_TYPE
from ragkit_api.service import Service

router = APIRouter(tags=["operations"])

PLAIN: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": SENTENCES[status]} for status in (421, 500)
}

TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    ready: bool
    store: str
    ledger: str
    queue: str


@router.get("/healthz", response_model=Health, responses=PLAIN)
async def healthz() -> Any:
    """Whether the process is alive; asks nothing of anybody else, so that their failures do not restart it."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={**PLAIN, 503: {"model": Readiness, "description": "Not ready; the body says what is missing."}},
)
async def readyz(service: Annotated[Service, Depends(get_service)]) -> Any:
    """Whether questions can be answered: store, ledger and queue. A provider that is down does not matter here."""

    async def store() -> object:
        try:
            return await (await service.rag.store()).info()
        except NoIndex:
            return None

    found = {
        "store": await service.patiently(store),
        "ledger": await service.patiently(service.ledger.budgets),
        "queue": "closed" if service.gate.closed else "full" if service.gate.full else "ok",
    }
    ready = all(state == "ok" for state in found.values())
    return JSONResponse({"ready": ready, **found}, 200 if ready else 503)


@router.get("/metrics", responses=TEXT | problems(), response_class=Response)
async def metrics(caller: Watching) -> Response:
    """Metrics for Prometheus; where there are keys, a key with the scope `metrics` is needed."""
    return Response(caller.service.metrics.text(), headers={"content-type": CONTENT_TYPE})
