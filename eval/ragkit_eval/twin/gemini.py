"""Gemini: generateContent, streamed or not, and countTokens, by the paths of the Gemini API and of Vertex AI."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.answer import read_prompt
from ragkit_eval.twin.exchange import Call, account_of
from ragkit_eval.twin.gemini_models import MODELS, Gemini
from ragkit_eval.twin.obedience import TOOL
from ragkit_eval.twin.replies import Frame, event
from ragkit_eval.twin.subset import gemini_complaint
from ragkit_eval.twin.tokens import WIDE, count, pieces
from ragkit_eval.twin.world import Bill
from ragkit_eval.twin.writing import THINKING, Task, Written, write

IMPLICIT_STEP = 128
IMAGE_TOKENS = 258
TIERS = ("standard", "flex", "priority")
TRAFFIC = {"standard": "ON_DEMAND", "flex": "ON_DEMAND_FLEX", "priority": "ON_DEMAND_PRIORITY"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that passed every rule. `cached` tokens are part of `prompt`; `steps` are what it will cache."""

    model: Gemini
    config: Mapping[str, Any]
    texts: tuple[str, ...]
    prompt: int
    cached: int
    steps: tuple[str, ...]
    tier: str
    explicit: Mapping[str, Any] | None = None
    thinking: int = field(default=0)


def find_model(call: Call, name: str) -> Gemini:
    model = MODELS.get(name.removeprefix("models/"))
    if model is None or (model.retires is not None and model.retires <= call.world.clock.now()):
        raise call.reject(f"models/{name} is not found", "not_found")
    return model


def camel(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names in camel case: the API takes both spellings, and the SDK sends both. Values, such as schemas, stay."""
    return {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): value for name, value in (values or {}).items()}


def texts_of(content: Any) -> list[str]:
    """The texts of a content or a list of contents."""
    if isinstance(content, list):
        return [text for each in content for text in texts_of(each)]
    return [str(part.get("text", "")) for part in (content or {}).get("parts") or ()]


def images_of(contents: Any) -> int:
    parts = [part for content in contents or () for part in content.get("parts") or ()]
    return sum("inlineData" in part or "fileData" in part for part in parts)


def plan(call: Call, body: Mapping[str, Any], name: str) -> Plan:
    """Check every rule and look the prompt up in the cache; raises `Rejection`."""
    model = find_model(call, name)
    config = camel(body.get("generationConfig"))
    config["thinkingConfig"] = camel(config.get("thinkingConfig"))
    if not body.get("contents"):
        raise call.reject("contents is not specified")
    _check_config(call, model, config)
    explicit = _explicit(call, body, model)
    texts = (*(explicit["texts"] if explicit else texts_of(body.get("systemInstruction"))), *texts_of(body["contents"]))
    head = json.dumps(body["tools"]) if body.get("tools") else ""
    prompt = sum(count(text, WIDE) for text in (head, *texts)) + IMAGE_TOKENS * images_of(body["contents"])
    if prompt > model.context:
        raise call.reject(
            f"The input token count ({prompt}) exceeds the maximum ({model.context}).", "context_too_long"
        )
    tier = str(body.get("serviceTier") or "standard").lower()
    if tier not in TIERS:
        raise call.reject(f"service_tier: must be one of {', '.join(TIERS)}")
    cached, steps = (explicit["tokens"], ()) if explicit else _implicit(call, model, head, texts)
    return Plan(model, config, texts, prompt, cached, steps, tier, explicit, _thinking(config))


def _check_config(call: Call, model: Gemini, config: Mapping[str, Any]) -> None:
    if "responseSchema" in config and "responseJsonSchema" in config:
        raise call.reject("only one of response_schema and response_json_schema may be set")
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema and config.get("responseMimeType") != "application/json":
        raise call.reject("response_mime_type must be application/json when a response schema is set")
    if (given := config.get("responseJsonSchema")) and (problem := gemini_complaint(given)):
        raise call.reject(problem)
    limit = config.get("maxOutputTokens", model.max_output)
    if not 1 <= limit <= model.max_output:
        raise call.reject(f"max_output_tokens must be between 1 and {model.max_output}")
    if "thinkingBudget" in config["thinkingConfig"] and not model.budgets:
        raise call.reject(f"thinking_budget is not supported by {model.id}; use thinking_level")


def _thinking(config: Mapping[str, Any]) -> int:
    """Billed as output whether or not thoughts are shown."""
    thinking = config["thinkingConfig"]
    usual = THINKING[str(thinking.get("thinkingLevel") or "medium").lower()]
    budget = thinking.get("thinkingBudget", -1)
    return usual if budget < 0 else min(usual, budget)


def _explicit(call: Call, body: Mapping[str, Any], model: Gemini) -> Mapping[str, Any] | None:
    """The explicit cache that the request names, if it may use it."""
    name = body.get("cachedContent")
    if not name:
        return None
    cache: dict[str, Any] | None = call.world.shelf("gemini_caches").get(str(name).rpartition("/")[2])
    if cache is None or cache["key"] != call.key or cache["expires"] <= call.world.clock.now():
        raise call.reject("CachedContent not found (or permission denied)", "permission")
    if cache["model"] != model.id:
        raise call.reject("Model used by the request and by the cached content have to be the same.")
    if body.get("systemInstruction") or body.get("tools") or body.get("toolConfig"):
        raise call.reject("CachedContent can not be used with system_instruction, tools or tool_config")
    return cache


def _implicit(call: Call, model: Gemini, head: str, texts: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """On by default; the real hits are best effort, here they are certain, in steps from the model's minimum on."""
    tokens = [piece for text in texts for piece in pieces(text, WIDE)]
    root = json.dumps(["gemini", account_of(call), model.id, head])
    read, steps = call.world.step_cache.look_up(root, tokens, IMPLICIT_STEP, call.world.clock.now())
    minimum = call.world.options.minimums.get(model.id, model.minimum)
    if len(tokens) < minimum:
        return 0, ()
    return (read if read >= minimum else 0), steps


def compose(call: Call, made: Plan) -> Written:
    config = made.config
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    any_json = schema is None and config.get("responseMimeType") == "application/json"
    limit = config.get("maxOutputTokens", made.model.max_output)
    stops = tuple(config.get("stopSequences") or ())
    return write(Task(read_prompt(made.texts), limit, WIDE, made.thinking, schema, any_json, stops), call.fault)


def usage_of(made: Plan, output: int, thinking: int) -> dict[str, Any]:
    """The prompt count includes what was cached; thoughts stand beside the candidates and are billed like them."""
    return {
        "promptTokenCount": made.prompt,
        **({"cachedContentTokenCount": made.cached} if made.cached else {}),
        "candidatesTokenCount": output - thinking,
        **({"thoughtsTokenCount": thinking} if thinking else {}),
        "totalTokenCount": made.prompt + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": made.prompt}],
    }


def bill_of(made: Plan, request_id: str, output: int, thinking: int, *, batch: bool = False) -> Bill:
    classes = {"input": made.prompt - made.cached, "read": made.cached, "output": output}
    detail = {"thinking": min(thinking, output)}
    return Bill("gemini", made.model.id, classes, "batch" if batch else made.tier, request_id, detail=detail)


def chunk(made: Plan, response_id: str, text: str, finish: str | None, usage: Mapping[str, Any]) -> dict[str, Any]:
    """A response, or a chunk of one."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}] if text else []}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    if finish == "SAFETY":
        candidate["content"] = {"role": "model"}
    body = {"candidates": [candidate], "usageMetadata": usage}
    return {**body, "modelVersion": made.model.id, "responseId": response_id}


def finish_of(written: Written) -> str:
    return {"length": "MAX_TOKENS", "refusal": "SAFETY"}.get(written.stop, "STOP")


def respond(made: Plan, written: Written, response_id: str, *, vertex: bool = False) -> dict[str, Any]:
    """The whole response."""
    usage = usage_of(made, written.output, written.thinking)
    if vertex:
        usage["trafficType"] = TRAFFIC[made.tier]
    body = chunk(made, response_id, written.text, finish_of(written), usage)
    if written.call:
        body["candidates"][0]["content"]["parts"].append({"functionCall": {"name": TOOL, "args": written.call}})
    return body


def frames(made: Plan, written: Written, response_id: str, size: int) -> tuple[Frame, ...]:
    """Each chunk is a response of its own, with the usage so far; the last one has the finish reason."""
    parts = [written.pieces[start : start + size] for start in range(0, len(written.pieces), size)] or [()]
    sent, events = written.thinking, []
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        sent += len(part)
        usage = usage_of(made, sent, written.thinking)
        text = "" if written.stop == "refusal" else "".join(part)
        body = chunk(made, response_id, text, finish_of(written) if last else None, usage)
        events.append(Frame(event(body), len(part) + (written.thinking if place == 0 else 0), last))
    return tuple(events)


async def generate(call: Call) -> Response:
    """POST .../{model}:generateContent and :streamGenerateContent; billed by the only id that an answer tells."""
    params = call.request.path_params
    streamed = params["action"] == "streamGenerateContent"
    made = plan(call, call.body, params["model"])
    written = compose(call, made)
    call.seen.request_id = response_id = call.world.new_id("resp")
    call.headers["x-gemini-service-tier"] = made.tier
    await call.wait_for_first_token()
    call.world.step_cache.commit(made.steps, call.seen.at)
    if streamed:
        events = frames(made, written, response_id, call.world.options.tokens_per_event)
        return call.stream(events, lambda output: bill_of(made, response_id, output, written.thinking))
    bill = bill_of(made, response_id, written.output, written.thinking)
    body = respond(made, written, response_id, vertex="project" in params)
    return await call.answer(body, bill, tokens=written.output)


async def count_tokens(call: Call) -> Response:
    """POST .../{model}:countTokens: free."""
    body = call.body.get("generateContentRequest") or call.body
    texts = (*texts_of(body.get("systemInstruction")), *texts_of(body.get("contents") or []))
    find_model(call, call.request.path_params["model"])
    return await call.answer({"totalTokens": sum(count(text, WIDE) for text in texts)})
