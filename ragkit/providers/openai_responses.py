"""OpenAI's Responses API, the one that tells the lifetime of every cache write, so that 12-hour writes have a price.

Nothing is stored at OpenAI. The prompt is laid out as in Chat Completions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from ragkit.nouns import CacheTtl, Completion, Request, Stop, Usage
from ragkit.provider import Piece, Started
from ragkit.providers.abilities import ability_of, effort_for
from ragkit.providers.openai_chat import LANES, TIERS, address, sdk_client
from ragkit.providers.sdk import require_key, timeouts
from ragkit.providers.wire import Failure, asked, count, error_of, malformed, nearest_ttl, read_object, rest, unbilled
from ragkit.settings import ProvidersSettings

TTLS: tuple[CacheTtl, ...] = ("30m", "12h")
STOPS: dict[str, Stop] = {"max_output_tokens": "length", "content_filter": "refusal"}
FAILED = {"rate_limit_exceeded": 429, "insufficient_quota": 429}
"""The status of a response that failed after it had begun; anything else is a broken server."""


class OpenAIResponses:
    """GPT models by the official SDK."""

    def __init__(
        self,
        key: str | None,
        *,
        base_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
        name: str = "openai",
    ) -> None:
        self.name = name
        key = require_key(key, name, "OPENAI_API_KEY")
        self._client, self._errors = sdk_client(name, key, base_url, http)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIResponses:
        own = settings.openai
        key = own.api_key.get_secret_value() if own.api_key else None
        return cls(key, base_url=address(own), http=http)

    async def complete(self, request: Request) -> Completion:
        try:
            raw = await self._client.responses.with_raw_response.create(
                **to_wire(request), timeout=timeouts(request.timeout)
            )
            return from_wire(read_object(raw.text), self.name, raw.headers.get("x-request-id"))
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def stream(self, request: Request) -> AsyncIterator[Piece]:
        try:
            raw = await self._client.responses.with_raw_response.create(
                **to_wire(request), stream=True, timeout=timeouts(request.timeout)
            )
            request_id = raw.headers.get("x-request-id")
            yield Started(request_id)
            async with raw.parse() as events:
                async for event in events:
                    piece = read_event(event.to_dict(warnings=False), self.name, request_id)
                    if piece is not None:
                        yield piece
                    if isinstance(piece, Completion):
                        return
            raise malformed(self.name, "a stream without its end", request_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()


def to_wire(request: Request) -> dict[str, Any]:
    """The body of `POST /v1/responses`."""
    prompt, ability = request.prompt, ability_of(request.model.id)
    head = [_part(text) for text in (prompt.system, prompt.prefix.text) if text]
    schema = {"type": "json_schema", "name": request.schema.name, "strict": True}
    body: dict[str, Any] = {
        "model": request.model.id,
        "input": [
            {"role": "system", "content": head},
            *({"role": turn.role, "content": turn.text} for turn in prompt.history),
            {"role": "user", "content": [_part(text) for text in asked(prompt)]},
            *({"role": turn.role, "content": turn.text} for turn in request.repair),
        ],
        "text": {"format": {**schema, "schema": dict(request.schema.json_schema)}},
        "max_output_tokens": request.max_output,
        "service_tier": TIERS.get(request.lane, "default"),
        "store": False,
    }
    if ability.breakpoints:
        body["prompt_cache_options"] = {"mode": "explicit"}
        if not body["max_output_tokens"]:
            del body["max_output_tokens"]
            body["prompt_cache_options"]["prewarm"] = True
        if prompt.prefix.marked:
            head[-1]["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": nearest_ttl(prompt.prefix.ttl, TTLS)}
    if request.cache_key:
        body["prompt_cache_key"] = request.cache_key
    effort = effort_for(request.model.effort, ability.efforts)
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    return body


def from_wire(payload: Mapping[str, Any], name: str = "openai", request_id: str | None = None) -> Completion:
    """The answer in a `Response`; a refusal is its own text, a failed response an error."""
    request_id = request_id or payload.get("id")
    if payload.get("status") in ("failed", "cancelled"):
        raise _failed(payload, name, request_id)
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled(name, "without usage", request_id)
    parts = [part for item in payload["output"] if item.get("type") == "message" for part in item["content"]]
    refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
    reason = (payload.get("incomplete_details") or {}).get("reason") or ""
    return Completion(
        text=refusal or "".join(part["text"] for part in parts if part["type"] == "output_text"),
        usage=usage_of(payload["usage"]),
        stop="refusal" if refusal else STOPS.get(reason, "end"),
        served_by=payload["model"],
        request_id=request_id,
        lane=LANES.get(payload.get("service_tier") or "", "standard"),
    )


def read_event(event: Mapping[str, Any], name: str, request_id: str | None) -> str | Completion | None:
    """The text in a stream's event, empty while the model thinks, or the whole answer, which the last event repeats."""
    match event.get("type"):
        case "response.output_text.delta":
            return str(event["delta"])
        case "response.completed" | "response.incomplete" | "response.failed":
            return from_wire(event["response"], name, request_id)
        case "error":
            raise error_of(_failure(event, name, "", request_id))
        case str(kind) if kind.startswith("response.reasoning"):
            return ""
    return None


def _failed(payload: Mapping[str, Any], name: str, request_id: str | None) -> Exception:
    error = error_of(_failure(payload.get("error") or {}, name, payload.get("model") or "", request_id))
    if isinstance(payload.get("usage"), Mapping):
        error.usage = usage_of(payload["usage"])
    return error


def _failure(told: Mapping[str, Any], name: str, model: str, request_id: str | None) -> Failure:
    code = str(told.get("code") or "")
    return Failure(
        name,
        model,
        FAILED.get(code, 500),
        message=told.get("message") or "",
        code=code,
        request_id=request_id,
        begun=True,
    )


def usage_of(reported: Mapping[str, Any]) -> Usage:
    """`input_tokens` includes what was cached; writes without a split by lifetime count as 30 minutes."""
    read = count(reported, "input_tokens_details", "cached_tokens")
    written = count(reported, "input_tokens_details", "cache_write_tokens")
    half_day = count(reported, "input_tokens_details", "cache_write_tokens_details", "ttl_12h_tokens")
    return Usage(
        input=rest(count(reported, "input_tokens"), read, written),
        cache_read=read,
        cache_write_30m=rest(written, half_day),
        cache_write_12h=half_day,
        output=count(reported, "output_tokens"),
        reasoning=count(reported, "output_tokens_details", "reasoning_tokens"),
    )


def _part(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}
