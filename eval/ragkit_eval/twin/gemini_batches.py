"""Gemini's batches with inline requests, and its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call, Rejection, scripted_rejection
from ragkit_eval.twin.faults import REJECTIONS
from ragkit_eval.twin.gemini import (
    bill_of,
    camel,
    compose,
    count_tokens,
    find_model,
    generate,
    plan,
    respond,
    texts_of,
)
from ragkit_eval.twin.gemini_caches import ROUTES as CACHE_ROUTES
from ragkit_eval.twin.gemini_errors import error_body
from ragkit_eval.twin.gemini_models import DIMENSIONS, EMBEDDERS
from ragkit_eval.twin.tokens import WIDE, count
from ragkit_eval.twin.vectors import embed
from ragkit_eval.twin.world import Bill

MOST_INLINE_BYTES = 20 * 1024 * 1024
LIFETIME = timedelta(hours=24)
ITEM_PATH = "batch_item"


@dataclass(slots=True)
class Batch:
    """A batch of inline requests, answered in their order."""

    id: str
    call: Call
    model: str
    requests: list[dict[str, Any]]
    created: datetime
    ends: datetime
    display: str | None
    state: str = "BATCH_STATE_PENDING"
    cancelled: datetime | None = None
    responses: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        done = self.state not in ("BATCH_STATE_PENDING", "BATCH_STATE_RUNNING")
        output = {"inlinedResponses": {"inlinedResponses": self.responses}} if self.responses else None
        metadata = {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "name": f"batches/{self.id}",
            "model": f"models/{self.model}",
            "displayName": self.display,
            "createTime": self.created.isoformat(),
            "updateTime": self.created.isoformat(),
            "endTime": self.ends.isoformat() if done else None,
            "state": self.state,
            "output": output,
        }
        return {"name": f"batches/{self.id}", "metadata": metadata, "done": done}


async def create(call: Call) -> Response:
    """POST .../{model}:batchGenerateContent"""
    batch_of = call.body.get("batch") or {}
    requests = ((batch_of.get("inputConfig") or {}).get("requests") or {}).get("requests")
    if not requests:
        raise call.reject("the twin takes inlined requests")
    if len(call.seen.raw) > MOST_INLINE_BYTES:
        raise call.reject("inline requests: at most 20 MB are allowed", "too_large")
    model = find_model(call, call.request.path_params["model"]).id
    now = call.world.clock.now()
    ends = now + timedelta(seconds=call.world.options.batch_seconds)
    batch = Batch(call.world.new_id("batch"), call, model, requests, now, ends, batch_of.get("displayName"))
    call.world.shelf("gemini_batches")[batch.id] = batch
    call.world.later(lambda: settle(batch))
    return await call.answer(batch.to_json())


def settle(batch: Batch) -> bool:
    """Work off what is due; whether the batch is done."""
    now = batch.call.world.clock.now()
    deadline = batch.created + LIFETIME
    stop = min(batch.ends, batch.cancelled or deadline, deadline)
    if now < stop:
        return False
    done = [number for number in range(len(batch.requests)) if _due(batch, number) <= stop]
    batch.responses = [_answer(batch, batch.requests[number], _due(batch, number)) for number in done]
    if batch.cancelled:
        batch.state = "BATCH_STATE_CANCELLED"
    else:
        batch.state = "BATCH_STATE_SUCCEEDED" if batch.ends <= deadline else "BATCH_STATE_EXPIRED"
    return True


def _due(batch: Batch, number: int) -> datetime:
    return batch.created + (batch.ends - batch.created) * (number + 1) / len(batch.requests)


def _answer(batch: Batch, item: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """One response; `metadata` comes back, so that ids survive."""
    kept = {"metadata": item["metadata"]} if "metadata" in item else {}
    return {**work_off(batch.call, batch.id, batch.model, item["request"], at), **kept}


def work_off(
    call: Call, batch: str, model: str, request: Mapping[str, Any], at: datetime, *, vertex: bool = False
) -> dict[str, Any]:
    """A request of a batch, done and billed: its `response`, or its `error`, which is free."""
    call.fault = call.world.faults.next("gemini", model, ITEM_PATH)
    try:
        if call.fault and call.fault.kind in REJECTIONS:
            raise scripted_rejection(call.fault)
        made = plan(call, request, model)
        written = compose(call, made)
        call.world.step_cache.commit(made.steps, call.world.clock.now())
    except Rejection as rejection:
        return {"error": error_body(rejection, "")["error"]}
    response_id = call.world.new_id("resp")
    bill = bill_of(made, f"{batch}/{response_id}", written.output, written.thinking, batch=True)
    call.world.bill(replace(bill, at=at), "batch")
    return {"response": respond(made, written, response_id, vertex=vertex)}


def _find(call: Call) -> Batch:
    batch = call.world.shelf("gemini_batches").get(call.request.path_params["batch"])
    if batch is None or batch.call.key != call.key:
        raise call.reject("Batch not found", "not_found")
    return batch  # type: ignore[no-any-return]


async def get(call: Call) -> Response:
    """GET /{version}/batches/{batch}"""
    return await call.answer(_find(call).to_json())


async def list_batches(call: Call) -> Response:
    """GET /{version}/batches: the newest first, all on one page."""
    own = [each for each in call.world.shelf("gemini_batches").values() if each.call.key == call.key]
    return await call.answer({"operations": [batch.to_json() for batch in reversed(own)]})


async def cancel(call: Call) -> Response:
    """POST /{version}/batches/{batch}:cancel"""
    batch = _find(call)
    if batch.state == "BATCH_STATE_PENDING":
        batch.cancelled = call.world.clock.now()
        call.world.catch_up()
    return await call.answer({})


async def delete(call: Call) -> Response:
    """DELETE /{version}/batches/{batch}"""
    del call.world.shelf("gemini_batches")[_find(call).id]
    return await call.answer({})


async def embed_contents(call: Call) -> Response:
    """POST .../{model}:embedContent and :batchEmbedContents"""
    model = call.request.path_params["model"]
    if model not in EMBEDDERS:
        raise call.reject(f"models/{model} is not found", "not_found")
    requests = call.body.get("requests") or [call.body]
    texts = [" ".join(texts_of(request.get("content"))) for request in requests]
    sizes = [count(text, WIDE) for text in texts]
    if max(sizes) > EMBEDDERS[model]:
        raise call.reject(f"{model} takes at most {EMBEDDERS[model]} tokens per text", "context_too_long")
    vectors = [{"values": embed(text, _dimensions(request))} for text, request in zip(texts, requests, strict=True)]
    answer = {"embeddings": vectors} if "requests" in call.body else {"embedding": vectors[0]}
    usage = {"promptTokenCount": sum(sizes), "totalTokenCount": sum(sizes)}
    await call.wait_for_first_token()
    bill = Bill("gemini", model, {"input": sum(sizes)}, id=call.seen.request_id)
    return await call.answer({**answer, "usageMetadata": usage}, bill)


def _dimensions(request: Mapping[str, Any]) -> int:
    config = camel(request.get("embedContentConfig"))
    return int(request.get("outputDimensionality") or config.get("outputDimensionality") or DIMENSIONS)


MODEL = "/{version}/models/{model}:"
VERTEX = "/{version}/projects/{project}/locations/{location}/publishers/google/models/{model}:"
ACTIONS = {"generateContent": generate, "streamGenerateContent": generate, "countTokens": count_tokens}
EMBED_ACTIONS = {"embedContent": embed_contents, "batchEmbedContents": embed_contents, "batchGenerateContent": create}


async def act(call: Call) -> Response:
    """What the part of the path behind the colon asks for."""
    handler = (ACTIONS | EMBED_ACTIONS).get(call.request.path_params["action"])
    if handler is None:
        raise call.reject(f"{call.request.path_params['action']} is not simulated", "not_found")
    return await handler(call)


ROUTES = (
    ("POST", MODEL + "{action}", act),
    ("POST", VERTEX + "{action}", act),
    *CACHE_ROUTES,
    ("GET", "/{version}/batches", list_batches),
    ("GET", "/{version}/batches/{batch}", get),
    ("POST", "/{version}/batches/{batch}:cancel", cancel),
    ("DELETE", "/{version}/batches/{batch}", delete),
)
