"""Anthropic Messages: create, stream, count tokens, models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.anthropic_diagnosis import diagnose
from ragkit_eval.twin.anthropic_models import MODELS, Claude, describe
from ragkit_eval.twin.anthropic_prompt import breakpoints, format_schema, material, prefixes, render
from ragkit_eval.twin.anthropic_rules import VERSIONS, complaint, is_forced, marker_complaint
from ragkit_eval.twin.anthropic_shape import Reply, frames, message
from ragkit_eval.twin.cache import Outcome, Prefixes
from ragkit_eval.twin.exchange import Call, Protocol, Rejection, account_of
from ragkit_eval.twin.limits import anthropic_headers, spend
from ragkit_eval.twin.world import Bill
from ragkit_eval.twin.writing import THINKING, Task, Written, write

TYPES = {
    "bad_request": "invalid_request_error",
    "context_too_long": "invalid_request_error",
    "auth": "authentication_error",
    "billing": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "timeout_error": "timeout_error",
    "conflict": "conflict_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "spend_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
}
MOST_BYTES = 32 * 1024 * 1024


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    """`api_error` is the type of every failure on the server's side that has none of its own."""
    code = rejection.code or ("enforced_spend_limit_reached" if rejection.kind == "spend_limit" else None)
    error: dict[str, Any] = {"type": TYPES.get(rejection.kind, "api_error"), "message": rejection.message}
    if code:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": request_id}


PROTOCOL = Protocol("anthropic", error_body, request_id_header="request-id")


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that passed every rule: what it reads and writes in the cache, and what remains to be generated."""

    model: Claude
    body: Mapping[str, Any]
    prompt: Prefixes
    outcome: Outcome
    limit: int
    lane: str


def find_model(call: Call, name: Any) -> Claude:
    model = MODELS.get(str(name))
    if model is None or (model.retires is not None and model.retires <= call.world.clock.now()):
        raise call.reject(f"model: {name}", "not_found")
    return model


def workspace_of(call: Call) -> str:
    return f"{account_of(call)}/{call.request.headers.get('anthropic-workspace-id', '')}"


def plan(call: Call, body: Mapping[str, Any], *, batch: bool = False) -> Plan:
    """Check every rule and look the prompt up in the cache; raises `Rejection`."""
    model = find_model(call, body.get("model"))
    version = call.request.headers.get("anthropic-version", "")
    if version not in VERSIONS:
        raise call.reject(f"anthropic-version: '{version}' is not a valid version")
    if problem := complaint(body, model, version):
        raise call.reject(problem)
    if batch and (body["max_tokens"] == 0 or body.get("stream")):
        raise call.reject("max_tokens: 0 and stream are not allowed inside a batch")
    blocks = render(body, model.width)
    if problem := marker_complaint(blocks, body):
        raise call.reject(problem)
    prompt = prefixes(blocks, body, workspace_of(call))
    if prompt.total > model.context:
        raise call.reject(f"prompt is too long: {prompt.total} tokens > {model.context} maximum", "context_too_long")
    minimum = call.world.options.minimums.get(model.id, model.minimum)
    marks = breakpoints(blocks) if call.world.options.batch_cache or not batch else ()
    outcome = call.world.anthropic_cache.look_up(prompt, marks, minimum, call.world.clock.now())
    limit = min(body["max_tokens"], model.context - prompt.total)
    return Plan(model, body, prompt, outcome, limit, _lane(body, batch))


def _lane(body: Mapping[str, Any], batch: bool) -> str:
    parts = ["batch"] if batch else []
    parts += ["us"] if body.get("inference_geo") == "us" else []
    parts += ["fast"] if body.get("speed") == "fast" else []
    return "+".join(parts) or "standard"


def compose(call: Call, made: Plan) -> Written:
    """Let the model write; tools are used when they are forced, or when there is exactly one."""
    body, tool = made.body, chosen_tool(made.body)
    schema = tool["input_schema"] if tool else format_schema(body)
    thinking = _thinking_tokens(body, made.model)
    stops = tuple(body.get("stop_sequences") or ())
    task = Task(material(body), made.limit, made.model.width, thinking, schema, stops=stops)
    return write(task, call.fault)


def chosen_tool(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The tool that the model will call, or None."""
    choice = body.get("tool_choice") or {"type": "auto"}
    tools: list[Mapping[str, Any]] = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    if choice["type"] == "tool":
        return next(tool for tool in tools if tool["name"] == choice["name"])
    called = is_forced(body) or (choice["type"] == "auto" and len(tools) == 1)
    return tools[0] if tools and called else None


def _thinking_tokens(body: Mapping[str, Any], model: Claude) -> int:
    """Billed as output, also when the thinking is not shown. Between tools nothing is thought here."""
    kind = (body.get("thinking") or {"type": model.thinking})["type"]
    if kind in ("off", "disabled", "between_tools") or is_forced(body):
        return 0
    effort = (body.get("output_config") or {}).get("effort") or model.effort or "medium"
    return THINKING[effort]


def usage_of(made: Plan, output: int, thinking: int) -> dict[str, Any]:
    """The usage as the API reports it: cache counts stand beside `input_tokens`. A pre-warm bills only the cache."""
    outcome, body = made.outcome, made.body
    five, hour = outcome.written.get("5m", 0), outcome.written.get("1h", 0)
    return {
        "input_tokens": 0 if body["max_tokens"] == 0 else made.prompt.total - outcome.cached,
        "cache_creation_input_tokens": five + hour,
        "cache_read_input_tokens": outcome.read,
        "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thinking},
        "server_tool_use": None,
        "service_tier": "batch" if "batch" in made.lane else "standard",
        "speed": "fast" if "fast" in made.lane else "standard",
        "inference_geo": body.get("inference_geo") or "global",
    }


def bill_of(made: Plan, request_id: str, output: int, thinking: int) -> Bill:
    usage = usage_of(made, output, thinking)
    classes = {
        "input": usage["input_tokens"],
        "read": usage["cache_read_input_tokens"],
        "write_5m": usage["cache_creation"]["ephemeral_5m_input_tokens"],
        "write_1h": usage["cache_creation"]["ephemeral_1h_input_tokens"],
        "output": output,
    }
    return Bill("anthropic", made.model.id, classes, made.lane, request_id, detail={"thinking": min(thinking, output)})


def reply_of(call: Call, made: Plan, written: Written, message_id: str) -> Reply:
    tool = chosen_tool(made.body)
    ran_out = written.stop == "length" and made.limit < made.body["max_tokens"]
    usage = usage_of(made, written.output, written.thinking)
    return Reply(message_id, made.body, written, usage, str(tool["name"]) if tool else None, ran_out)


async def messages(call: Call) -> Response:
    """POST /v1/messages"""
    if len(call.seen.raw) > MOST_BYTES:
        raise call.reject("Request exceeds the maximum size", "too_large")
    made = plan(call, call.body)
    window = spend(call, made.model.id, made.prompt.total - made.outcome.read)
    call.headers |= anthropic_headers(window, call.world.options)
    written = compose(call, made)
    message_id = call.world.new_id("msg")
    note = diagnose(call, made, message_id)
    await call.wait_for_first_token()
    call.world.anthropic_cache.commit(made.outcome)
    reply, request_id = reply_of(call, made, written, message_id), call.seen.request_id
    if made.body.get("stream"):
        events = frames(reply, call.world.options.tokens_per_event)
        return call.stream(events, lambda output: bill_of(made, request_id, output, written.thinking))
    bill = bill_of(made, request_id, written.output, written.thinking)
    return await call.answer(message(reply) | note, bill, tokens=written.output)


async def count_tokens(call: Call) -> Response:
    """POST /v1/messages/count_tokens: free, and without a look at the cache."""
    model = find_model(call, call.body.get("model"))
    blocks = render(call.body, model.width)
    return await call.answer({"input_tokens": sum(block.tokens for block in blocks)})


async def list_models(call: Call) -> Response:
    """GET /v1/models"""
    now = call.world.clock.now()
    data = [describe(model, now) for model in MODELS.values()]
    return await call.answer({"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]})


async def get_model(call: Call) -> Response:
    """GET /v1/models/{model}: a retired model stays in the catalogue."""
    model = MODELS.get(call.request.path_params["model"])
    if model is None:
        raise call.reject("model not found", "not_found")
    return await call.answer(describe(model, call.world.clock.now()))


ROUTES = (
    ("POST", "/v1/messages", messages),
    ("POST", "/v1/messages/count_tokens", count_tokens),
    ("GET", "/v1/models", list_models),
    ("GET", "/v1/models/{model}", get_model),
)
