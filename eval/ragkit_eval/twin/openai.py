"""OpenAI Chat Completions: create and stream; and the models endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call, Protocol, Rejection
from ragkit_eval.twin.obedience import TOOL
from ragkit_eval.twin.openai_models import MODELS, error_type
from ragkit_eval.twin.openai_prompt import (
    DEFAULT_EFFORT,
    Inquiry,
    Plan,
    bill_of,
    commit,
    compose,
    find_model,
    limit_rate,
    make_plan,
    read_format,
    read_limit,
    read_tier,
    texts_of,
)
from ragkit_eval.twin.replies import Frame, event
from ragkit_eval.twin.writing import Written

_FIELDS = """
messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens
metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
"""
FIELDS = frozenset(_FIELDS.split())


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    kind, code = error_type(rejection.kind)
    error = {"message": rejection.message, "type": kind, "param": None, "code": rejection.code or code}
    return {"error": error}


PROTOCOL = Protocol("openai", error_body)


def read_chat(call: Call, body: Mapping[str, Any]) -> Inquiry:
    """The request in neutral form; raises `Rejection` for what the endpoint does not know."""
    if unknown := sorted(set(body) - FIELDS):
        raise call.reject(f"Unrecognized request argument supplied: {unknown[0]}")
    if body.get("n", 1) != 1:
        raise call.reject("n: the twin answers once")
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise call.reject("messages: at least one message is required")
    model = find_model(call, body.get("model"))
    form = body.get("response_format")
    if form and form.get("type") == "json_schema":
        form = {"type": "json_schema", **(form.get("json_schema") or {})}
    schema, any_json = read_format(call, form)
    options = body.get("prompt_cache_options") or {}
    if options.get("ttl", "30m") != "30m":
        raise call.reject("prompt_cache_options.ttl: Chat Completions takes 30m only; set 12h on a breakpoint")
    stop = body.get("stop") or ()
    return Inquiry(
        model=model,
        head=json.dumps([body["tools"], schema]) if body.get("tools") else json.dumps(schema) if schema else "",
        parts=texts_of(body["messages"]),
        limit=read_limit(call, body.get("max_completion_tokens", body.get("max_tokens"))),
        effort=body.get("reasoning_effort") or DEFAULT_EFFORT,
        tier=read_tier(call, body.get("service_tier")),
        schema=schema,
        any_json=any_json,
        stops=(stop,) if isinstance(stop, str) else tuple(stop),
        cache_key=str(body.get("prompt_cache_key") or ""),
        retention=body.get("prompt_cache_retention"),
        options=options,
    )


def chat_usage(plan: Plan, written: Written) -> dict[str, Any]:
    """Cached and written tokens are part of `prompt_tokens`; the lifetime of a write is not told here."""
    prompt, outcome = plan.inquiry.tokens, plan.outcome
    writes = plan.inquiry.model.caching == "breakpoints"
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written.output,
        "total_tokens": prompt + written.output,
        "prompt_tokens_details": {
            "cached_tokens": outcome.read,
            "cache_write_tokens": sum(outcome.written.values()) if writes else None,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": written.thinking,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(written: Written) -> str:
    return "length" if written.stop == "length" else "stop"


def chat_completion(head: Mapping[str, Any], written: Written, usage: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer; a refusal stands in a field of its own."""
    refused = written.stop == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused else written.text,
        "refusal": written.text if refused else None,
        "annotations": [],
    }
    if written.call:
        function = {"name": TOOL, "arguments": json.dumps(written.call)}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(written)}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def chat_frames(
    head: Mapping[str, Any], written: Written, usage: Mapping[str, Any] | None, size: int
) -> tuple[Frame, ...]:
    """The answer in chunks; the usage comes last, and only when it was asked for."""
    refused = written.stop == "refusal"

    def chunk(delta: Mapping[str, Any], finish: str | None = None, output: int = 0) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        extra = {} if usage is None else {"usage": None}
        return Frame(event({**head, "object": "chat.completion.chunk", "choices": [choice], **extra}), output)

    frames = [chunk({"role": "assistant", "content": "", "refusal": None}, output=written.thinking)]
    for start in range(0, len(written.pieces), size):
        part = written.pieces[start : start + size]
        frames.append(chunk({"refusal" if refused else "content": "".join(part)}, output=len(part)))
    frames.append(chunk({}, _finish(written)))
    if usage is not None:
        frames.append(Frame(event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})))
    return (*frames, Frame(event("[DONE]"), final=True))


def chat_head(call: Call, plan: Plan) -> dict[str, Any]:
    return {
        "id": call.world.new_id("chatcmpl"),
        "created": int(call.world.clock.now().timestamp()),
        "model": plan.inquiry.model.id,
        "service_tier": plan.inquiry.tier,
        "system_fingerprint": "fp_twin",
    }


async def chat(call: Call) -> Response:
    """POST /v1/chat/completions"""
    body = call.body
    plan = make_plan(call, read_chat(call, body))
    written = compose(call, plan.inquiry)
    head, usage = chat_head(call, plan), chat_usage(plan, written)
    limit_rate(call, plan)
    await call.wait_for_first_token()
    commit(call, plan)
    if body.get("stream"):
        wanted = (body.get("stream_options") or {}).get("include_usage")
        frames = chat_frames(head, written, usage if wanted else None, call.world.options.tokens_per_event)
        return call.stream(frames, lambda output: bill_of(call, plan, written, output))
    bill = bill_of(call, plan, written, written.output)
    return await call.answer(chat_completion(head, written, usage), bill, tokens=written.output)


async def list_models(call: Call) -> Response:
    """GET /v1/models"""
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "twin"} for name in MODELS]
    return await call.answer({"object": "list", "data": data})


ROUTES = (
    ("POST", "/v1/chat/completions", chat),
    ("GET", "/v1/models", list_models),
)
