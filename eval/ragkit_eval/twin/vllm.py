"""vLLM: Chat Completions of a local server, which ignores what it does not know, and its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response

from ragkit_eval.twin.answer import read_prompt
from ragkit_eval.twin.exchange import Call, Protocol, Rejection
from ragkit_eval.twin.openai import chat_completion, chat_frames
from ragkit_eval.twin.openai_prompt import texts_of
from ragkit_eval.twin.replies import Frame
from ragkit_eval.twin.tokens import WIDE, count, pieces
from ragkit_eval.twin.world import Bill
from ragkit_eval.twin.writing import Task, Written, write

BLOCK = 16
"""Tokens per block of the prefix cache."""
CONTEXT = 32_768
DRAFT = 4
KINDS = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError"}
CONSTRAINTS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    kind = KINDS.get(rejection.status, "InternalServerError")
    return {"error": {"message": rejection.message, "type": kind, "param": None, "code": rejection.status}}


PROTOCOL = Protocol("vllm", error_body, needs_key=False)


def _constraint(call: Call, body: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """The schema to obey, and whether any JSON will do. The old `guided_*` fields are not looked at: no constraint."""
    given = body.get("structured_outputs") or {}
    named = [name for name in CONSTRAINTS if given.get(name) is not None]
    if len(named) > 1:
        raise call.reject("You can only use one kind of constraint for structured outputs")
    if "choice" in named:
        return {"enum": list(given["choice"])}, False
    if "json" in named:
        return (json.loads(given["json"]) if isinstance(given["json"], str) else given["json"]), False
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return form["json_schema"].get("schema") or {}, False
    return None, bool(named) or form.get("type") == "json_object"


async def chat(call: Call) -> Response:
    """POST /v1/chat/completions: free, since the hardware is paid by the hour."""
    body, world = call.body, call.world
    model = str(body.get("model"))
    if model not in world.options.vllm_models:
        raise call.reject(f"The model `{model}` does not exist.", "not_found")
    parts = texts_of(body.get("messages") or [])
    tokens = [piece for part in parts for piece in pieces(part.raw, WIDE)]
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or CONTEXT - len(tokens)
    if len(tokens) + limit > CONTEXT:
        text = f"This model's maximum context length is {CONTEXT} tokens; requested {len(tokens) + limit}."
        raise call.reject(text, "context_too_long")
    root = json.dumps(["vllm", model, body.get("cache_salt")])
    read, blocks = world.local_cache.look_up(root, tokens, BLOCK, call.seen.at)
    read = min(read, (len(tokens) - 1) // BLOCK * BLOCK)
    schema, any_json = _constraint(call, body)
    stop = body.get("stop") or ()
    stops = (stop,) if isinstance(stop, str) else tuple(stop)
    material = read_prompt([part.text for part in parts])
    written = write(Task(material, limit, WIDE, 0, schema, any_json, stops), call.fault)
    await call.wait_for_first_token()
    world.local_cache.commit(blocks, call.seen.at)
    _count(call, len(tokens), read, written)
    head = {"id": world.new_id("chatcmpl"), "created": int(call.seen.at.timestamp()), "model": model}
    usage = _usage(call, len(tokens), read, written)
    if body.get("stream"):
        frames = _frames(call, head, written, usage)
        return call.stream(frames, lambda output: _bill(call, model, len(tokens), read, output))
    bill = _bill(call, model, len(tokens), read, written.output)
    return await call.answer(chat_completion(head, written, usage), bill, tokens=written.output)


def _usage(call: Call, prompt: int, read: int, written: Written) -> dict[str, Any]:
    """Cached tokens are told only when the server was started to tell them."""
    details = {"cached_tokens": read, "created_cache_tokens": None, "multimodal_tokens": None}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written.output,
        "total_tokens": prompt + written.output,
        "prompt_tokens_details": details if call.world.options.prompt_details else None,
    }


def _frames(call: Call, head: Mapping[str, Any], written: Written, usage: Mapping[str, Any]) -> tuple[Frame, ...]:
    """With `continuous_usage_stats` every chunk tells the usage so far."""
    asked = call.body.get("stream_options") or {}
    frames = chat_frames(
        head, written, usage if asked.get("include_usage") else None, call.world.options.tokens_per_event
    )
    if not (asked.get("include_usage") and asked.get("continuous_usage_stats")):
        return frames
    sent, told = 0, []
    for frame in frames:
        sent += frame.output
        total = usage["prompt_tokens"] + sent
        now = json.dumps({**usage, "completion_tokens": sent, "total_tokens": total}).encode()
        told.append(Frame(frame.data.replace(b'"usage": null', b'"usage": ' + now), frame.output, frame.final))
    return tuple(told)


def _bill(call: Call, model: str, prompt: int, read: int, output: int) -> Bill:
    classes = {"input": prompt - read, "read": read, "output": output}
    return Bill("vllm", model, classes, "local", call.seen.request_id, free=True)


def _count(call: Call, prompt: int, read: int, written: Written) -> None:
    """Speculation accepts the same share of each draft, so that the metrics can be checked."""
    accepted = call.world.options.accepted
    drafts = -(-written.output // (accepted + 1))
    for name, amount in (
        ("vllm:prefix_cache_queries", prompt),
        ("vllm:prefix_cache_hits", read),
        ("vllm:prompt_tokens", prompt),
        ("vllm:prompt_tokens_cached", read),
        ("vllm:generation_tokens", written.output),
        ("vllm:spec_decode_num_drafts", drafts),
        ("vllm:spec_decode_num_draft_tokens", drafts * DRAFT),
        ("vllm:spec_decode_num_accepted_tokens", drafts * accepted),
        ("vllm:request_success", 1),
    ):
        call.world.count(name, amount)


async def metrics(call: Call) -> Response:
    """GET /metrics: counters carry `_total`, gauges do not."""
    model = call.world.options.vllm_models[0]
    lines = ["# simulated"]
    for name, value in sorted(call.world.counters.items()):
        lines += [f"# TYPE {name} counter", f'{name}_total{{model_name="{model}"}} {value:g}']
    for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
        lines += [f"# TYPE {gauge} gauge", f'{gauge}{{model_name="{model}"}} 0']
    call.seen.status = 200
    return PlainTextResponse("\n".join(lines) + "\n", headers=call.headers)


async def health(call: Call) -> Response:
    """GET /health"""
    call.seen.status = 200
    return Response(status_code=200, headers=call.headers)


async def list_models(call: Call) -> Response:
    """GET /v1/models"""
    names = call.world.options.vllm_models
    data = [{"id": name, "object": "model", "owned_by": "vllm", "max_model_len": CONTEXT} for name in names]
    return await call.answer({"object": "list", "data": data})


async def version(call: Call) -> Response:
    """GET /version"""
    return await call.answer({"version": "0.33.0"})


async def tokenize(call: Call) -> Response:
    """POST /tokenize"""
    total = count(str(call.body.get("prompt") or ""), WIDE)
    return await call.answer({"count": total, "max_model_len": CONTEXT, "tokens": list(range(total))})


ROUTES = (
    ("POST", "/v1/chat/completions", chat),
    ("GET", "/v1/models", list_models),
    ("GET", "/health", health),
    ("GET", "/metrics", metrics),
    ("GET", "/version", version),
    ("POST", "/tokenize", tokenize),
)
