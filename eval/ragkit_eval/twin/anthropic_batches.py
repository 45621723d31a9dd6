"""Message batches: half price, done some time later, results in another order, some of them failed or expired."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.anthropic import bill_of, compose, error_body, plan, reply_of
from ragkit_eval.twin.anthropic_shape import message
from ragkit_eval.twin.exchange import Call, Rejection, scripted_rejection
from ragkit_eval.twin.faults import REJECTIONS

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MOST_REQUESTS = 100_000
LIFETIME = timedelta(hours=24)
ITEM_PATH = "batch_item"
"""The path by which a fault script names the requests within batches."""


@dataclass(slots=True)
class Batch:
    """A batch and the call that created it, whose key pays for it."""

    id: str
    call: Call
    requests: list[dict[str, Any]]
    created: datetime
    ends: datetime
    base_url: str
    canceled: datetime | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: datetime | None = None

    def due(self, number: int) -> datetime:
        """Requests are worked off evenly until the end."""
        return self.created + (self.ends - self.created) * (number + 1) / len(self.requests)

    def to_json(self) -> dict[str, Any]:
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        if self.ended is None:
            counts["processing"] = len(self.requests)
        for result in self.results.values() if self.ended else ():
            counts[result["type"]] += 1
        status = "ended" if self.ended else "canceling" if self.canceled else "in_progress"
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "created_at": self.created.isoformat(),
            "expires_at": (self.created + LIFETIME).isoformat(),
            "ended_at": self.ended.isoformat() if self.ended else None,
            "cancel_initiated_at": self.canceled.isoformat() if self.canceled else None,
            "archived_at": None,
            "results_url": f"{self.base_url}/v1/messages/batches/{self.id}/results" if self.ended else None,
        }


async def create(call: Call) -> Response:
    """POST /v1/messages/batches"""
    requests = call.body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= MOST_REQUESTS:
        raise call.reject(f"requests: between 1 and {MOST_REQUESTS} are required")
    names = [str(each.get("custom_id")) for each in requests]
    if any(not CUSTOM_ID.fullmatch(name) for name in names):
        raise call.reject("custom_id: must match ^[a-zA-Z0-9_-]{1,64}$")
    if len(set(names)) < len(names):
        raise call.reject("custom_id: must be unique within the batch")
    now = call.world.clock.now()
    ends = now + timedelta(seconds=call.world.options.batch_seconds)
    base_url = str(call.request.base_url).rstrip("/") + call.request.scope.get("root_path", "")
    batch = Batch(call.world.new_id("msgbatch"), call, requests, now, ends, base_url)
    call.world.shelf("anthropic_batches")[batch.id] = batch
    call.world.later(lambda: settle(batch))
    return await call.answer(batch.to_json())


def settle(batch: Batch) -> bool:
    """Work off what is due by now; whether the batch has ended."""
    now = batch.call.world.clock.now()
    deadline = batch.created + LIFETIME
    stop = min(batch.ends, batch.canceled or deadline, deadline)
    if batch.ended or now < stop:
        return batch.ended is not None
    for number, request in enumerate(batch.requests):
        if batch.due(number) <= stop:
            batch.results[request["custom_id"]] = _work(batch, request, batch.due(number))
        else:
            batch.results[request["custom_id"]] = {"type": "canceled" if batch.canceled else "expired"}
    batch.ended = stop
    return True


def _work(batch: Batch, request: dict[str, Any], at: datetime) -> dict[str, Any]:
    """One result. What fails is not billed; caches work here as they do elsewhere."""
    call, body = batch.call, request["params"]
    call.fault = call.world.faults.next("anthropic", str(body.get("model", "")), ITEM_PATH)
    try:
        if call.fault and call.fault.kind == "expired":
            return {"type": "expired"}
        if call.fault and call.fault.kind in REJECTIONS:
            raise scripted_rejection(call.fault)
        made = plan(call, body, batch=True)
        written = compose(call, made)
        call.world.anthropic_cache.commit(made.outcome)
        message_id = call.world.new_id("msg")
        bill = bill_of(made, f"{batch.id}/{request['custom_id']}", written.output, written.thinking)
        call.world.bill(replace(bill, at=at), "batch")
        return {"type": "succeeded", "message": message(reply_of(call, made, written, message_id))}
    except Rejection as rejection:
        return {"type": "errored", "error": error_body(rejection, call.seen.request_id)}


def _find(call: Call) -> Batch:
    batch = call.world.shelf("anthropic_batches").get(call.request.path_params["batch"])
    if batch is None or batch.call.key != call.key:
        raise call.reject("batch not found", "not_found")
    return batch  # type: ignore[no-any-return]


async def retrieve(call: Call) -> Response:
    """GET /v1/messages/batches/{batch}"""
    return await call.answer(_find(call).to_json())


async def list_batches(call: Call) -> Response:
    """GET /v1/messages/batches"""
    limit = int(call.request.query_params.get("limit", "20"))
    own = [each for each in call.world.shelf("anthropic_batches").values() if each.call.key == call.key]
    data = [batch.to_json() for batch in reversed(own)]
    return await call.answer({"data": data[:limit], "has_more": len(data) > limit, "first_id": None, "last_id": None})


async def cancel(call: Call) -> Response:
    """POST /v1/messages/batches/{batch}/cancel: what was worked off by now is kept and billed."""
    batch = _find(call)
    if batch.ended is None and batch.canceled is None:
        batch.canceled = call.world.clock.now()
    return await call.answer(batch.to_json())


async def results(call: Call) -> Response:
    """GET /v1/messages/batches/{batch}/results: JSON lines, in another order than the requests."""
    batch = _find(call)
    if batch.ended is None:
        raise call.reject("results are not available before the batch has ended", "not_found")
    lines = [json.dumps({"custom_id": name, "result": result}) for name, result in reversed(batch.results.items())]
    call.seen.status = 200
    return Response("\n".join(lines) + "\n", 200, call.headers, "application/x-jsonl")


async def delete(call: Call) -> Response:
    """DELETE /v1/messages/batches/{batch}"""
    batch = _find(call)
    if batch.ended is None:
        raise call.reject("only an ended batch can be deleted")
    del call.world.shelf("anthropic_batches")[batch.id]
    return await call.answer({"id": batch.id, "type": "message_batch_deleted"})


ROUTES = (
    ("POST", "/v1/messages/batches", create),
    ("GET", "/v1/messages/batches", list_batches),
    ("GET", "/v1/messages/batches/{batch}", retrieve),
    ("DELETE", "/v1/messages/batches/{batch}", delete),
    ("POST", "/v1/messages/batches/{batch}/cancel", cancel),
    ("GET", "/v1/messages/batches/{batch}/results", results),
)
