"""OpenAI Responses: create and stream. Only here cache writes are split by lifetime, and a cache can be pre-warmed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.openai_prompt import (
    DEFAULT_EFFORT,
    Inquiry,
    Part,
    Plan,
    bill_of,
    commit,
    compose,
    find_model,
    limit_rate,
    make_plan,
    message_parts,
    read_format,
    read_limit,
    read_tier,
    texts_of,
)
from ragkit_eval.twin.replies import Frame, event
from ragkit_eval.twin.writing import Written

_FIELDS = """
background include input instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls
previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier
service_tier store stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user
conversation context_management access_programs background_options
"""
FIELDS = frozenset(_FIELDS.split())
NOTHING = Written((), 0, "end")


def read_response(call: Call, body: Mapping[str, Any]) -> Inquiry:
    """The request in neutral form; raises `Rejection` for what the endpoint does not know."""
    if unknown := sorted(set(body) - FIELDS):
        raise call.reject(f"Unknown parameter: '{unknown[0]}'.")
    if body.get("previous_response_id") or body.get("conversation"):
        raise call.reject("the twin keeps no conversations: send the whole input")
    model = find_model(call, body.get("model"))
    schema, any_json = read_format(call, (body.get("text") or {}).get("format"))
    return Inquiry(
        model=model,
        head=json.dumps([body["tools"], schema]) if body.get("tools") else json.dumps(schema) if schema else "",
        parts=_parts(call, body),
        limit=read_limit(call, body.get("max_output_tokens")),
        effort=(body.get("reasoning") or {}).get("effort") or DEFAULT_EFFORT,
        tier=read_tier(call, body.get("service_tier")),
        schema=schema,
        any_json=any_json,
        cache_key=str(body.get("prompt_cache_key") or ""),
        retention=body.get("prompt_cache_retention"),
        options=body.get("prompt_cache_options") or {},
    )


def _parts(call: Call, body: Mapping[str, Any]) -> tuple[Part, ...]:
    given = body.get("input")
    if not given:
        raise call.reject("input: is required")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    instructions = message_parts("developer", body["instructions"]) if body.get("instructions") else []
    return (*instructions, *texts_of(items))


def response_usage(plan: Plan, written: Written) -> dict[str, Any]:
    """Written tokens are split by lifetime here."""
    prompt, outcome = plan.inquiry.tokens, plan.outcome
    short, long = outcome.written.get("30m", 0), outcome.written.get("12h", 0)
    return {
        "input_tokens": prompt,
        "output_tokens": written.output,
        "total_tokens": prompt + written.output,
        "input_tokens_details": {
            "cached_tokens": outcome.read,
            "cache_write_tokens": short + long,
            "cache_write_tokens_details": {"ttl_30m_tokens": short, "ttl_12h_tokens": long},
        },
        "output_tokens_details": {"reasoning_tokens": written.thinking},
    }


def response_object(call: Call, plan: Plan, written: Written) -> dict[str, Any]:
    """The whole Response; an answer cut by the limit is `incomplete`."""
    cut = written.stop == "length"
    return {
        "id": call.world.new_id("resp"),
        "object": "response",
        "created_at": int(call.world.clock.now().timestamp()),
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "model": plan.inquiry.model.id,
        "output": _output(call, written),
        "parallel_tool_calls": True,
        "service_tier": plan.inquiry.tier,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": response_usage(plan, written),
    }


def _output(call: Call, written: Written) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if written.thinking:
        items.append({"id": call.world.new_id("rs"), "type": "reasoning", "summary": []})
    if written.pieces or not written.thinking:
        refused = written.stop == "refusal"
        text = {"type": "output_text", "text": written.text, "annotations": [], "logprobs": []}
        part = {"type": "refusal", "refusal": written.text} if refused else text
        status = "incomplete" if written.stop == "length" else "completed"
        message = {"id": call.world.new_id("msg"), "type": "message", "role": "assistant", "status": status}
        items.append({**message, "content": [part]})
    return items


def response_frames(response: Mapping[str, Any], written: Written, size: int) -> tuple[Frame, ...]:
    """The events of a streamed Response, numbered; its usage comes with the last one."""
    start = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[tuple[dict[str, Any], int]] = [
        ({"type": "response.created", "response": start}, 0),
        ({"type": "response.in_progress", "response": start}, 0),
    ]
    for index, item in enumerate(response["output"]):
        empty = {**item, "content": [], "status": "in_progress"} if item["type"] == "message" else item
        thought = written.thinking if item["type"] == "reasoning" else 0
        events.append(({"type": "response.output_item.added", "output_index": index, "item": empty}, thought))
        if item["type"] == "message":
            events += _text_events(index, item, written, size)
        events.append(({"type": "response.output_item.done", "output_index": index, "item": item}, 0))
    events.append(({"type": f"response.{response['status']}", "response": response}, 0))
    last = len(events) - 1
    return tuple(
        Frame(event({**payload, "sequence_number": number}, name=payload["type"]), output, number == last)
        for number, (payload, output) in enumerate(events)
    )


def _text_events(index: int, item: Mapping[str, Any], written: Written, size: int) -> list[tuple[dict[str, Any], int]]:
    part = item["content"][0]
    kind, field = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    logprobs: dict[str, Any] = {} if kind == "refusal" else {"logprobs": []}
    events: list[tuple[dict[str, Any], int]] = [
        ({"type": "response.content_part.added", **where, "part": {**part, field: ""}}, 0)
    ]
    for start in range(0, len(written.pieces), size):
        pieces = written.pieces[start : start + size]
        events.append(({"type": f"response.{kind}.delta", **where, "delta": "".join(pieces), **logprobs}, len(pieces)))
    events.append(({"type": f"response.{kind}.done", **where, field: written.text, **logprobs}, 0))
    return [*events, ({"type": "response.content_part.done", **where, "part": part}, 0)]


async def responses(call: Call) -> Response:
    """POST /v1/responses"""
    body = call.body
    plan = make_plan(call, read_response(call, body))
    written = NOTHING if plan.inquiry.options.get("prewarm") else compose(call, plan.inquiry)
    response = response_object(call, plan, written)
    limit_rate(call, plan)
    await call.wait_for_first_token()
    commit(call, plan)
    if body.get("stream"):
        frames = response_frames(response, written, call.world.options.tokens_per_event)
        return call.stream(frames, lambda output: bill_of(call, plan, written, output))
    return await call.answer(response, bill_of(call, plan, written, written.output), tokens=written.output)


ROUTES = (("POST", "/v1/responses", responses),)
