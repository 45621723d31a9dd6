"""An OpenAI-shaped request as a row of parts, its place in the prompt cache, and its usage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ragkit_eval.twin.answer import read_prompt
from ragkit_eval.twin.cache import LIFETIMES, Breakpoint, Outcome, Prefixes, chain
from ragkit_eval.twin.exchange import Call, account_of
from ragkit_eval.twin.limits import openai_headers, spend
from ragkit_eval.twin.openai_models import MAX_OUTPUT, MINIMUM, MODELS, STEP, Gpt
from ragkit_eval.twin.subset import openai_complaint
from ragkit_eval.twin.tokens import WIDE, count, pieces
from ragkit_eval.twin.world import Bill
from ragkit_eval.twin.writing import THINKING, Task, Written, write

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TURN_TOKENS = 3
PRIMING_TOKENS = 3
IMAGE_TOKENS = 800
MOST_WRITES = 4
MOST_READS = 80
DEFAULT_EFFORT = "medium"
TIERS = {"flex": "flex", "priority": "priority", "fast": "priority"}


@dataclass(frozen=True, slots=True)
class Part:
    """A content part: the bytes that count for the cache, what it says, and the lifetime at its explicit breakpoint.

    A lifetime of `""` is that of the request.
    """

    raw: str
    text: str
    tokens: int
    ttl: str | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What Chat Completions and Responses have in common. `head` is what stands before all parts: tools and schema."""

    model: Gpt
    head: str
    parts: tuple[Part, ...]
    limit: int
    effort: str
    tier: str
    schema: Mapping[str, Any] | None = None
    any_json: bool = False
    stops: tuple[str, ...] = ()
    cache_key: str = ""
    retention: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lifetime(self) -> str:
        return str(self.options.get("ttl", "30m"))

    @property
    def tokens(self) -> int:
        head = count(self.head, WIDE) if self.head else 0
        return head + sum(part.tokens for part in self.parts) + PRIMING_TOKENS


@dataclass(frozen=True, slots=True)
class Plan:
    """An inquiry that passed every rule, with what it reads from and writes to the cache."""

    inquiry: Inquiry
    outcome: Outcome
    steps: tuple[str, ...] = ()


def find_model(call: Call, name: Any) -> Gpt:
    model = MODELS.get(str(name))
    if model is None or (model.retires is not None and model.retires <= call.world.clock.now()):
        raise call.reject(f"The model `{name}` does not exist or you do not have access to it.", "not_found")
    return model


def message_parts(role: str, content: Any) -> list[Part]:
    """The parts of one message; a string is one part."""
    listed = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    parts = []
    for number, part in enumerate(listed):
        text = str(part.get("text") or part.get("refusal") or "")
        mark = part.get("prompt_cache_breakpoint")
        plain = {key: value for key, value in part.items() if key != "prompt_cache_breakpoint"}
        image = "image" in str(part.get("type"))
        tokens = IMAGE_TOKENS if image else count(text, WIDE)
        raw = f"{role} {number} {json.dumps(plain, ensure_ascii=False)}"
        parts.append(Part(raw, text, tokens + TURN_TOKENS * (number == 0), mark and str(mark.get("ttl", ""))))
    return parts


def read_format(call: Call, form: Mapping[str, Any] | None) -> tuple[Mapping[str, Any] | None, bool]:
    """The schema to obey and whether any JSON will do; `form` is flat, as in Responses."""
    kind = (form or {}).get("type", "text")
    if form is None or kind == "text":
        return None, False
    if kind == "json_object":
        return None, True
    if kind != "json_schema":
        raise call.reject(f"Invalid value for response_format.type: '{kind}'")
    if not NAME.fullmatch(str(form.get("name"))):
        raise call.reject("Invalid schema name: letters, digits, '_' and '-', at most 64")
    schema: Mapping[str, Any] = form.get("schema") or {}
    if form.get("strict") and (problem := openai_complaint(schema)):
        raise call.reject(f"Invalid schema for response_format '{form['name']}': {problem}")
    return schema, False


def read_limit(call: Call, value: Any) -> int:
    if value is None:
        return MAX_OUTPUT
    if not isinstance(value, int) or not 1 <= value <= MAX_OUTPUT:
        raise call.reject(f"the output limit must be between 1 and {MAX_OUTPUT}")
    return value


def read_tier(call: Call, value: Any) -> str:
    """The tier that is served; `fast` comes back as `priority`."""
    if value not in (None, "auto", "default", "flex", "scale", "priority", "fast"):
        raise call.reject(f"Invalid service_tier: '{value}'")
    return TIERS.get(str(value), "default")


def make_plan(call: Call, inquiry: Inquiry) -> Plan:
    """Check the rules of caching and length, and look the prompt up; raises `Rejection`."""
    total = inquiry.tokens
    if total > inquiry.model.context:
        text = f"This model's maximum context length is {inquiry.model.context} tokens; your messages have {total}."
        raise call.reject(text, "context_too_long")
    _check_cache_fields(call, inquiry)
    root = json.dumps([account_of(call), inquiry.model.id, inquiry.cache_key, inquiry.head])
    if inquiry.model.caching == "automatic":
        return _automatic(call, inquiry, root)
    texts = [part.raw for part in inquiry.parts]
    head = count(inquiry.head, WIDE) if inquiry.head else 0
    ends = tuple(accumulate((part.tokens for part in inquiry.parts), initial=head))[1:]
    prompt = Prefixes(chain(root, texts), ends)
    minimum = call.world.options.minimums.get(inquiry.model.id, MINIMUM)
    outcome = call.world.openai_cache.look_up(prompt, _breakpoints(inquiry), minimum, call.world.clock.now())
    return Plan(inquiry, outcome)


def _check_cache_fields(call: Call, inquiry: Inquiry) -> None:
    marks = [part.ttl for part in inquiry.parts if part.ttl is not None]
    if inquiry.model.caching == "automatic":
        if inquiry.options or marks:
            raise call.reject(f"prompt cache breakpoints are not supported on {inquiry.model.id}")
        if inquiry.model.id == "gpt-5.5" and inquiry.retention == "in_memory":
            raise call.reject("prompt_cache_retention: only '24h' is supported on this model")
        return
    if inquiry.retention and inquiry.options:
        raise call.reject("prompt_cache_retention and prompt_cache_options cannot both be sent")
    if inquiry.retention == "in_memory":
        raise call.reject("prompt_cache_retention: only '24h' is supported on this model")
    lifetimes = [*filter(None, marks), inquiry.lifetime]
    if any(ttl not in ("30m", "12h") for ttl in lifetimes):
        raise call.reject("prompt cache ttl: must be 30m or 12h")
    if inquiry.options.get("mode", "implicit") not in ("implicit", "explicit"):
        raise call.reject("prompt_cache_options.mode: must be implicit or explicit")


def _breakpoints(inquiry: Inquiry) -> list[Breakpoint]:
    """The latest 80 are read; the latest 4 are written, one of which is automatic in implicit mode."""
    usual = inquiry.lifetime
    marks = [Breakpoint(place, part.ttl or usual) for place, part in enumerate(inquiry.parts) if part.ttl is not None]
    if inquiry.options.get("mode", "implicit") == "implicit" and inquiry.parts:
        last = len(inquiry.parts) - 1
        marks = [mark for mark in marks if mark.index != last]
        marks.append(Breakpoint(last, usual))
    silent = [Breakpoint(mark.index, None) for mark in marks[:-MOST_WRITES]]
    return [*silent, *marks[-MOST_WRITES:]][-MOST_READS:]


def _automatic(call: Call, inquiry: Inquiry, root: str) -> Plan:
    """Up to GPT-5.5: from 1024 tokens on, in steps of 128, written for free."""
    now = call.world.clock.now()
    tokens = [piece for part in inquiry.parts for piece in pieces(part.raw, WIDE)]
    if inquiry.tokens < MINIMUM:
        return Plan(inquiry, Outcome(at=now))
    read, steps = call.world.step_cache.look_up(root, tokens, STEP, now)
    read = min(read, inquiry.tokens // STEP * STEP)
    return Plan(inquiry, Outcome(read if read >= MINIMUM else 0, at=now), steps)


def limit_rate(call: Call, plan: Plan) -> None:
    """Count the request, cached tokens included, and tell what is left."""
    window = spend(call, plan.inquiry.model.id, plan.inquiry.tokens)
    call.headers |= openai_headers(window, call.world.options, call.world.clock.now())


def commit(call: Call, plan: Plan) -> None:
    """The answer begins: the prompt is readable."""
    call.world.openai_cache.commit(plan.outcome)
    if plan.steps and plan.outcome.at is not None:
        lifetime = LIFETIMES["24h"] if plan.inquiry.retention == "24h" else None
        call.world.step_cache.commit(plan.steps, plan.outcome.at, lifetime)


def compose(call: Call, inquiry: Inquiry) -> Written:
    """Let the model write; reasoning counts as output."""
    material = read_prompt([part.text for part in inquiry.parts])
    limit = min(inquiry.limit, inquiry.model.context - inquiry.tokens)
    thinking = THINKING.get(inquiry.effort, THINKING[DEFAULT_EFFORT])
    task = Task(material, limit, WIDE, thinking, inquiry.schema, inquiry.any_json, inquiry.stops)
    return write(task, call.fault)


def lane_of(call: Call, tier: str, *, batch: bool = False) -> str:
    """The lane that is billed: batch or tier, and the regional endpoints' surcharge."""
    base = "batch" if batch else {"default": "standard"}.get(tier, tier)
    regional = call.request.scope.get("root_path", "").endswith(("-eu", "-us"))
    return f"{base}+regional" if regional else base


def bill_of(call: Call, plan: Plan, written: Written, output: int, *, batch: bool = False) -> Bill:
    """Cached and written tokens are subsets of the prompt here; the bill has them apart."""
    outcome = plan.outcome
    classes = {
        "input": plan.inquiry.tokens - outcome.cached,
        "read": outcome.read,
        "write_30m": outcome.written.get("30m", 0),
        "write_12h": outcome.written.get("12h", 0),
        "output": output,
    }
    lane = lane_of(call, plan.inquiry.tier, batch=batch)
    detail = {"thinking": min(written.thinking, output)}
    return Bill("openai", plan.inquiry.model.id, classes, lane, call.seen.request_id, detail=detail)


def texts_of(messages: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """All parts of a list of messages."""
    return tuple(
        part for message in messages for part in message_parts(str(message.get("role")), message.get("content"))
    )
