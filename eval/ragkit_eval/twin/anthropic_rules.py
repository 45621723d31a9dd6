"""What the Messages API refuses with a 400, before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragkit_eval.twin.anthropic_models import Claude
from ragkit_eval.twin.anthropic_prompt import Block, as_blocks, document_blocks, format_schema, last_markable
from ragkit_eval.twin.subset import anthropic_complaint

LATEST = "2026-10-21"
VERSIONS = ("2023-06-01", LATEST)
_FIELDS = """
model max_tokens messages system cache_control output_config thinking tools tool_choice stop_sequences stream
metadata service_tier speed inference_geo diagnostics container
"""
FIELDS = frozenset(_FIELDS.split())
SAMPLING = ("temperature", "top_p", "top_k")
DEEP_EFFORTS = ("xhigh", "max")
MOST_MESSAGES = 100_000
MOST_BREAKPOINTS = 4
LIFETIMES = ("5m", "1h")


def complaint(body: Mapping[str, Any], model: Claude, version: str) -> str | None:
    """The first rule that a request breaks, or None; what concerns markers is checked on the rendered blocks."""
    return (
        _fields(body, model, version)
        or _limits(body, model)
        or _messages(body, model, version)
        or _thinking(body, model)
        or _tools(body, model)
        or _format(body)
        or _prewarm(body)
        or _service(body, model)
    )


def _fields(body: Mapping[str, Any], model: Claude, version: str) -> str | None:
    for name in SAMPLING:
        if name in body and version == LATEST:
            return f"{name}: removed in API version {LATEST}"
        if name in body and not model.sampling:
            return f"{name}: sampling parameters are not supported on {model.id}"
    for name in ("messages", "max_tokens"):
        if name not in body:
            return f"{name}: Field required"
    unknown = sorted(set(body) - FIELDS - set(SAMPLING))
    return f"{unknown[0]}: Extra inputs are not permitted" if unknown else None


def _limits(body: Mapping[str, Any], model: Claude) -> str | None:
    limit = body["max_tokens"]
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        return "max_tokens: Input should be a non-negative integer"
    if limit > model.max_output:
        return f"max_tokens: {limit} > {model.max_output}, the maximum for {model.id}"
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    return f"messages: at most {MOST_MESSAGES} are allowed" if len(messages) > MOST_MESSAGES else None


def _messages(body: Mapping[str, Any], model: Claude, version: str) -> str | None:
    roles = [message.get("role") for message in body["messages"]]
    if unknown := [role for role in roles if role not in ("user", "assistant", "system")]:
        return f"messages: unknown role '{unknown[0]}'"
    for place, role in enumerate(roles):
        following = roles[place + 1] if place + 1 < len(roles) else "assistant"
        if role == "system" and (place == 0 or roles[place - 1] != "user" or following != "assistant"):
            return "messages: a system message must follow a user turn and be last or before an assistant turn"
    if roles[-1] == "assistant" and not model.prefill:
        return f"messages: prefill is not supported on {model.id}; the last message must be a user turn"
    for message in body["messages"]:
        if problem := _content(message, version):
            return problem
    cited = [bool((part.get("citations") or {}).get("enabled")) for part in document_blocks(body)]
    return "citations must be enabled on all documents or on none" if len(set(cited)) > 1 else None


def _content(message: Mapping[str, Any], version: str) -> str | None:
    content = message.get("content")
    if not content:
        return "messages: content must not be empty"
    for part in as_blocks(content):
        kind, role = part.get("type"), message["role"]
        if kind == "text" and not part.get("text"):
            return "messages: text content blocks must be non-empty"
        if role == "system" and kind != "text":
            return "messages: system messages take text only"
        if version != LATEST:
            continue
        if role == "assistant" and kind == "document":
            return "messages: document blocks are not allowed in assistant turns"
        if role == "user" and kind == "text" and part.get("citations"):
            return "messages: citations are not allowed on text blocks in user turns"
    return None


def _thinking(body: Mapping[str, Any], model: Claude) -> str | None:
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and model.effort is None:
        return f"output_config.effort: not supported on {model.id}"
    if effort is not None and effort not in ("low", "medium", "high", *DEEP_EFFORTS):
        return "output_config.effort: must be low, medium, high, xhigh or max"
    thinking = body.get("thinking")
    if thinking is None:
        return None
    kind = thinking.get("type")
    if kind not in model.lowest:
        return f"thinking.type: '{kind}' is not supported on {model.id}; use one of {', '.join(model.lowest)}"
    if kind in ("disabled", "between_tools") and effort in DEEP_EFFORTS:
        return f"thinking.type: '{kind}' needs an effort of high or lower"
    if kind != "enabled":
        return "thinking.budget_tokens: only allowed with type 'enabled'" if "budget_tokens" in thinking else None
    budget = thinking.get("budget_tokens", 0)
    if budget < 1024:
        return "thinking.budget_tokens: at least 1024"
    return "max_tokens must be greater than thinking.budget_tokens" if 0 < body["max_tokens"] <= budget else None


def is_forced(body: Mapping[str, Any]) -> bool:
    """Whether the request insists on a tool."""
    return (body.get("tool_choice") or {}).get("type") in ("any", "tool")


def _tools(body: Mapping[str, Any], model: Claude) -> str | None:
    tools = body.get("tools") or []
    if is_forced(body):
        if not model.forced_tools:
            return f"tool_choice: forced tool use is not supported on {model.id}"
        if not tools:
            return "tool_choice: needs tools"
        named = body["tool_choice"].get("name")
        if named is not None and named not in [tool.get("name") for tool in tools]:
            return f"tool_choice: no tool named '{named}'"
    strict = [tool for tool in tools if tool.get("strict")]
    if len(strict) > 20:
        return "tools: at most 20 strict tools are allowed"
    problems = (anthropic_complaint(tool.get("input_schema")) for tool in strict)
    return next((f"tools.input_schema: {problem}" for problem in problems if problem), None)


def _format(body: Mapping[str, Any]) -> str | None:
    form = (body.get("output_config") or {}).get("format")
    if form is None:
        return None
    if form.get("type") != "json_schema":
        return "output_config.format.type: must be json_schema"
    if any((part.get("citations") or {}).get("enabled") for part in document_blocks(body)):
        return "output_config.format: cannot be used together with citations"
    problem = anthropic_complaint(form.get("schema"))
    return f"output_config.format.schema: {problem}" if problem else None


def _prewarm(body: Mapping[str, Any]) -> str | None:
    if body["max_tokens"] != 0:
        return None
    enabled = (body.get("thinking") or {}).get("type") == "enabled"
    if body.get("stream") or enabled or format_schema(body) is not None or is_forced(body):
        return "max_tokens: 0 cannot be used with stream, enabled thinking, output_config.format or a forced tool"
    return None


def _service(body: Mapping[str, Any], model: Claude) -> str | None:
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        return "service_tier: must be auto or standard_only"
    if body.get("speed") == "fast" and not model.fast:
        return f"speed: fast is not supported on {model.id}"
    if body.get("inference_geo") == "us" and not model.regional:
        return f"inference_geo: not supported on {model.id}"
    return None


def marker_complaint(blocks: tuple[Block, ...], body: Mapping[str, Any]) -> str | None:
    """What is wrong with the cache markers, or None."""
    marks = [block for block in blocks if block.ttl is not None]
    if any(mark.ttl not in LIFETIMES for mark in marks):
        return "cache_control.ttl: must be 5m or 1h"
    if any(not mark.markable for mark in marks):
        return "cache_control: cannot be set on thinking blocks"
    if len(marks) > MOST_BREAKPOINTS:
        return f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}."
    lifetimes = [mark.ttl for mark in marks]
    if lifetimes != sorted(lifetimes, key=lambda ttl: ttl != "1h"):
        return "cache_control: a ttl of 1h must not come after a ttl of 5m"
    automatic = body.get("cache_control")
    place = last_markable(blocks)
    if automatic is not None and place is not None and blocks[place].ttl != automatic.get("ttl", "5m"):
        return "cache_control: the last block has an explicit marker with another ttl"
    return None
