"""`/v1/query` and `/v1/search`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from ragkit.present import answer_to_json, hit_to_json
from ragkit.query import make_query
from ragkit_api.asking import Events, ask, follow, query_of, search
from ragkit_api.attached import Emit, EventStream, attached, failed
from ragkit_api.auth import Asking
from ragkit_api.declared import ASK, BODY, EVENT_STREAM, problems
from ragkit_api.repeating import check_key, once
from ragkit_api.schemas import AnswerBody, HitsBody, QueryBody, SearchBody

router = APIRouter(prefix="/v1", tags=["questions"])

EVENTS = """One JSON object, or with `stream` Server-Sent Events: `retrieval`, `route`, `text` for each statement as
soon as its quotes are verified, `citation`, `receipt`, and last `done` with the whole answer. After an error in
mid-stream `error` comes before `done`. Leaving early cancels the question; what it has cost by then is settled."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[A-Za-z0-9._:-]+$",
        description="Repeats with the same key and body get the first answer and cost nothing.",
    ),
]
ANSWER: dict[int | str, dict[str, Any]] = {200: {"model": AnswerBody, "description": EVENTS, "content": EVENT_STREAM}}

HITS: dict[int | str, dict[str, Any]] = {200: {"model": HitsBody}}


@router.post("/query", responses=ANSWER | problems(*BODY, *ASK), response_class=JSONResponse)
async def post_query(body: QueryBody, caller: Asking, request: Request, key: IdempotencyKey = None) -> Response:
    """Answer a question from the documents of the key's tenant, with verified citations and an exact receipt."""
    service, log = caller.service, request.state.log
    query, key = query_of(body, caller.account(body.user), service), check_key(key)
    asked = {"route": "query", "key": caller.key, **body.model_dump(exclude={"stream"})}

    async def whole(purchase: str = "") -> dict[str, Any]:
        return answer_to_json(await ask(service, query, log, purchase=purchase))

    async def lasting(key: str) -> dict[str, Any]:
        """It goes on beyond the time that its client waits: who asks again with its key gets the answer."""
        async with service.deadlines.one():
            return await service.detached.run(once(service.ledger, caller.tenant, key, asked, whole))

    async def produce(emit: Emit) -> None:
        events = Events(emit)
        if key is None:
            await follow(service, query, log, events.tell)
        else:
            await events.finish(await lasting(key))

    if body.stream:
        return EventStream(produce, failed)
    return JSONResponse(await (attached(request, whole()) if key is None else lasting(key)))


@router.post("/search", responses=HITS | problems(*BODY, *ASK), response_class=JSONResponse)
async def post_search(body: SearchBody, caller: Asking, request: Request) -> Response:
    """The reranked passages for a question, best first, without an answer."""
    service = caller.service
    query = make_query(body.question, service.settings, k=body.k, filters=body.filters, account=caller.account())
    hits = await attached(request, search(service, query))
    return JSONResponse({"hits": [hit_to_json(hit) for hit in hits]})
