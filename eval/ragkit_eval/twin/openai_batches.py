"""OpenAI files and batches: a file of requests in, half price, and files of results and errors out some time later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call, Rejection, scripted_rejection
from ragkit_eval.twin.faults import REJECTIONS
from ragkit_eval.twin.openai import chat_completion, chat_head, chat_usage, error_body, read_chat
from ragkit_eval.twin.openai_embeddings import make_embeddings
from ragkit_eval.twin.openai_files import find_file, store_file
from ragkit_eval.twin.openai_prompt import bill_of, commit, compose, make_plan
from ragkit_eval.twin.openai_responses import read_response, response_object
from ragkit_eval.twin.world import Bill

MOST_REQUESTS = 50_000
LIFETIME = timedelta(hours=24)
ITEM_PATH = "batch_item"
DONE = ("failed", "completed", "expired", "cancelled")
COUNTED = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


@dataclass(slots=True)
class Batch:
    """A batch, the call that created it, and what came of its requests."""

    id: str
    call: Call
    body: Mapping[str, Any]
    requests: list[dict[str, Any]]
    created: datetime
    ends: datetime
    status: str = "in_progress"
    cancelled: datetime | None = None
    errors: list[str] = field(default_factory=list)
    output: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        done = self.status in DONE
        data = [{"code": "invalid_request", "message": text, "line": None, "param": None} for text in self.errors]
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.body["endpoint"],
            "errors": {"object": "list", "data": data} if data else None,
            "input_file_id": self.body["input_file_id"],
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.files.get("output"),
            "error_file_id": self.files.get("errors"),
            "created_at": int(self.created.timestamp()),
            "expires_at": int((self.created + LIFETIME).timestamp()),
            "completed_at": int(self.ends.timestamp()) if self.status == "completed" else None,
            "request_counts": {
                "total": len(self.requests),
                "completed": len(self.output),
                "failed": len(self.failures),
            },
            "metadata": self.body.get("metadata"),
            "usage": self._usage() if done else None,
        }

    def _usage(self) -> dict[str, Any]:
        """Input, output, cached and reasoning tokens only: writes to the cache are not told."""
        usages = [line["response"]["body"].get("usage", {}) for line in self.output]
        sums = {new: sum(each.get(old, each.get(new, 0)) for each in usages) for old, new in COUNTED}
        return {
            **sums,
            "total_tokens": sum(sums.values()),
            "input_tokens_details": {"cached_tokens": sum(_inner(each, "cached_tokens") for each in usages)},
            "output_tokens_details": {"reasoning_tokens": sum(_inner(each, "reasoning_tokens") for each in usages)},
        }


def _inner(usage: Mapping[str, Any], name: str) -> int:
    return sum(part.get(name) or 0 for part in usage.values() if isinstance(part, dict))


async def create(call: Call) -> Response:
    """POST /v1/batches: what is wrong with the file shows when the batch has failed, not here."""
    body = call.body
    if body.get("completion_window") != "24h":
        raise call.reject("completion_window: must be 24h")
    if body.get("endpoint") not in RUNNERS:
        raise call.reject(f"endpoint: the twin serves {', '.join(RUNNERS)}")
    kept = find_file(call, str(body.get("input_file_id")))
    now = call.world.clock.now()
    ends = now + timedelta(seconds=call.world.options.batch_seconds)
    requests, problems = _read(kept["content"], body["endpoint"])
    batch = Batch(call.world.new_id("batch"), call, body, requests, now, ends, errors=problems)
    if kept["object"]["purpose"] != "batch":
        batch.errors = ["the file's purpose must be batch"]
    batch.status = "failed" if batch.errors else "in_progress"
    call.world.shelf("openai_batches")[batch.id] = batch
    call.world.later(lambda: settle(batch))
    return await call.answer(batch.to_json())


def _read(raw: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        requests = [json.loads(line) for line in raw.decode().splitlines() if line.strip()]
    except ValueError as error:
        return [], [f"the file is not valid JSON lines: {error}"]
    names = [request.get("custom_id") for request in requests]
    problems = []
    if not 1 <= len(requests) <= MOST_REQUESTS:
        problems.append(f"between 1 and {MOST_REQUESTS} requests are allowed")
    if len(set(names)) < len(names):
        problems.append("custom_id must be unique")
    if any(request.get("url") != endpoint or request.get("method") != "POST" for request in requests):
        problems.append(f"every line needs method POST and url {endpoint}")
    if len({request.get("body", {}).get("model") for request in requests}) > 1:
        problems.append("all requests of a file must use one model")
    return requests, problems


def settle(batch: Batch) -> bool:
    """Work off what is due; whether the batch is done. An expired one returns what was finished."""
    now = batch.call.world.clock.now()
    deadline = batch.created + LIFETIME
    stop = min(batch.ends, batch.cancelled or deadline, deadline)
    if batch.status in DONE or now < stop:
        return batch.status in DONE
    for number, request in enumerate(batch.requests, start=1):
        due = batch.created + (batch.ends - batch.created) * number / len(batch.requests)
        if due <= stop:
            _work(batch, request, due)
        elif batch.cancelled is None:
            _fail(batch, request, None, {"code": "batch_expired", "message": "The batch expired before this request."})
    batch.status = "cancelled" if batch.cancelled else "expired" if batch.ends > deadline else "completed"
    for name, lines in (("output", list(reversed(batch.output))), ("errors", batch.failures)):
        if lines:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            kept = store_file(batch.call, f"{batch.id}_{name}.jsonl", "batch_output", text.encode())
            batch.files[name] = kept["id"]
    return True


def _work(batch: Batch, request: dict[str, Any], at: datetime) -> None:
    call, body = batch.call, request["body"]
    call.fault = call.world.faults.next("openai", str(body.get("model", "")), ITEM_PATH)
    kind = call.fault_kind
    try:
        if kind == "expired":
            _fail(batch, request, None, {"code": "batch_expired", "message": "This request expired."})
            return
        if call.fault and kind in REJECTIONS:
            raise scripted_rejection(call.fault)
        answer, bill = RUNNERS[batch.body["endpoint"]](call, body)
    except Rejection as rejection:
        response = {
            "status_code": rejection.status,
            "request_id": request["custom_id"],
            "body": error_body(rejection, ""),
        }
        _fail(batch, request, response, None)
        return
    call.world.bill(replace(bill, id=f"{batch.id}/{request['custom_id']}", at=at), "batch")
    response = {"status_code": 200, "request_id": call.world.new_id("req"), "body": answer}
    batch.output.append(_line(batch, request, response, None))


def _fail(batch: Batch, request: Mapping[str, Any], response: Any, error: Any) -> None:
    batch.failures.append(_line(batch, request, response, error))


def _line(batch: Batch, request: Mapping[str, Any], response: Any, error: Any) -> dict[str, Any]:
    name = batch.call.world.new_id("batch_req")
    return {"id": name, "custom_id": request["custom_id"], "response": response, "error": error}


def _run_chat(call: Call, body: Mapping[str, Any]) -> tuple[dict[str, Any], Bill]:
    plan = make_plan(call, read_chat(call, body))
    written = compose(call, plan.inquiry)
    commit(call, plan)
    answer = chat_completion(chat_head(call, plan), written, chat_usage(plan, written))
    return answer, bill_of(call, plan, written, written.output, batch=True)


def _run_response(call: Call, body: Mapping[str, Any]) -> tuple[dict[str, Any], Bill]:
    plan = make_plan(call, read_response(call, body))
    written = compose(call, plan.inquiry)
    commit(call, plan)
    return response_object(call, plan, written), bill_of(call, plan, written, written.output, batch=True)


def _run_embeddings(call: Call, body: Mapping[str, Any]) -> tuple[dict[str, Any], Bill]:
    return make_embeddings(call, body, batch=True)


RUNNERS = {
    "/v1/chat/completions": _run_chat,
    "/v1/responses": _run_response,
    "/v1/embeddings": _run_embeddings,
}


def _find(call: Call) -> Batch:
    batch = call.world.shelf("openai_batches").get(call.request.path_params["batch"])
    if batch is None or batch.call.key != call.key:
        raise call.reject("No such batch", "not_found")
    return batch  # type: ignore[no-any-return]


async def retrieve(call: Call) -> Response:
    """GET /v1/batches/{batch}"""
    return await call.answer(_find(call).to_json())


async def list_batches(call: Call) -> Response:
    """GET /v1/batches"""
    own = [each for each in call.world.shelf("openai_batches").values() if each.call.key == call.key]
    data = [batch.to_json() for batch in reversed(own)]
    return await call.answer({"object": "list", "data": data, "has_more": False})


async def cancel(call: Call) -> Response:
    """POST /v1/batches/{batch}/cancel: what was worked off by now is kept and billed."""
    batch = _find(call)
    if batch.status == "in_progress":
        batch.cancelled, batch.status = call.world.clock.now(), "cancelling"
    return await call.answer(batch.to_json())


ROUTES = (
    ("POST", "/v1/batches", create),
    ("GET", "/v1/batches", list_batches),
    ("GET", "/v1/batches/{batch}", retrieve),
    ("POST", "/v1/batches/{batch}/cancel", cancel),
)
