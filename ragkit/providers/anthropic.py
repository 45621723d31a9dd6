"""Anthropic's Messages API.

The prompt goes out as system blocks, instructions first and then the prefix with its cache mark, so that everything
after the mark may differ between questions. The answer's schema is enforced by `output_config.format`: current models
refuse forced tools, and a tool per schema would stand before the prefix and give every schema a cache of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from ragkit.nouns import CacheTtl, Completion, Effort, Lane, Request, Stop, Turn, Usage
from ragkit.provider import Piece, Started
from ragkit.providers.abilities import EFFORTS, Ability, ability_of, effort_for
from ragkit.providers.sdk import Translator, import_sdk, require_key, timeouts
from ragkit.providers.wire import asked, count, malformed, nearest_ttl, read_object, rest, unbilled
from ragkit.settings import ProvidersSettings

BASE_URL = "https://api.anthropic.com"
TTLS: tuple[CacheTtl, ...] = ("5m", "1h")
TIERS: dict[Lane, str] = {"priority": "auto"}
LANES: dict[str, Lane] = {"priority": "priority", "batch": "batch"}
STOPS: dict[str, Stop] = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "refusal"}


class Anthropic:
    """Claude models by the official SDK; `region` is where they must compute, which has a price."""

    def __init__(
        self,
        key: str | None,
        *,
        base_url: str | None = None,
        region: str | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.name = name = "anthropic"
        self._region = region
        key = require_key(key, name, "ANTHROPIC_API_KEY")
        sdk = import_sdk("anthropic", "anthropic", "Anthropic")
        # The ledger counts calls, hence no retries in the SDK; spans of ours would be doubled by its own.
        self._client = sdk.AsyncAnthropic(
            api_key=key, base_url=base_url or BASE_URL, max_retries=0, http_client=http, open_telemetry=False
        )
        self._errors = Translator(name, key, sdk)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> Anthropic:
        own = settings.anthropic
        key = own.api_key.get_secret_value() if own.api_key else None
        return cls(key, base_url=own.base_url, region=own.region, http=http)

    async def complete(self, request: Request) -> Completion:
        try:
            raw = await self._client.messages.with_raw_response.create(
                **to_wire(request, self._region), timeout=timeouts(request.timeout)
            )
            return from_wire(read_object(await raw.text()), self.name, raw.headers.get("request-id"))
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def stream(self, request: Request) -> AsyncIterator[Piece]:
        message: dict[str, Any] = {}
        try:
            raw = await self._client.messages.with_raw_response.create(
                **to_wire(request, self._region), stream=True, timeout=timeouts(request.timeout)
            )
            yield Started(raw.headers.get("request-id"))
            async with await raw.parse() as events:
                async for event in events:
                    piece = fold(message, event.to_dict(warnings=False))
                    if piece is not None:
                        yield piece
            if message.get("stop_reason") is None:
                raise malformed(self.name, "a stream without its end", raw.headers.get("request-id"))
            yield from_wire(message, self.name, raw.headers.get("request-id"))
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()


def to_wire(request: Request, region: str | None = None) -> dict[str, Any]:
    """The body of `POST /v1/messages`."""
    prompt, ability = request.prompt, ability_of(request.model.id)
    system: list[dict[str, Any]] = [_text(text) for text in (prompt.system, prompt.prefix.text) if text]
    if prompt.prefix.marked:
        ttl = nearest_ttl(prompt.prefix.ttl, TTLS)
        system[-1]["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    config: dict[str, Any] = {"format": {"type": "json_schema", "schema": dict(request.schema.json_schema)}}
    effort = effort_for(request.model.effort, ability.efforts)
    if effort is not None:
        config["effort"] = effort
    body: dict[str, Any] = {
        "model": request.model.id,
        "max_tokens": request.max_output,
        "system": system,
        "messages": [
            *map(_turn, prompt.history),
            {"role": "user", "content": [_text(text) for text in asked(prompt)]},
            *map(_turn, request.repair),
        ],
        "output_config": config,
        "service_tier": TIERS.get(request.lane, "standard_only"),
    }
    if _thinks_least(request.model.effort, effort, ability):
        body["thinking"] = {"type": ability.off}
    if region:
        body["inference_geo"] = region
    return body


def from_wire(payload: Mapping[str, Any], name: str = "anthropic", request_id: str | None = None) -> Completion:
    """The answer in a `Message`, which may hold thinking before its text and no text at all."""
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled(name, "without usage", request_id)
    return Completion(
        text="".join(block["text"] for block in payload["content"] if block.get("type") == "text"),
        usage=_usage(payload["usage"]),
        stop=STOPS.get(payload["stop_reason"], "end"),
        served_by=payload["model"],
        request_id=request_id or payload.get("id"),
        lane=LANES.get(payload["usage"].get("service_tier") or "", "standard"),
    )


def fold(message: dict[str, Any], event: Mapping[str, Any]) -> str | Usage | None:
    """Add a stream's event to the message; the text or usage in it, an empty piece while the model thinks.

    Kinds of events that are not known yet are ignored, as the protocol asks.
    """
    match event.get("type"):
        case "message_start":
            message.update(event["message"], content=[])
            return _so_far(message)
        case "content_block_start":
            message["content"].append(dict(event["content_block"]))
        case "content_block_delta":
            text: str = event["delta"].get("text") or ""
            if text:
                message["content"][event["index"]]["text"] += text
            return text
        case "message_delta":
            message.update({key: value for key, value in event["delta"].items() if value is not None})
            told = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
            if told:
                message["usage"] = {**(message.get("usage") or {}), **told}
            return _so_far(message)
    return None


def _so_far(message: Mapping[str, Any]) -> Usage | None:
    return _usage(message["usage"]) if message.get("usage") else None


def _usage(reported: Mapping[str, Any]) -> Usage:
    """`input_tokens` excludes what was cached; writes without a split by lifetime count as 5 minutes."""
    written = count(reported, "cache_creation_input_tokens")
    hour = count(reported, "cache_creation", "ephemeral_1h_input_tokens")
    return Usage(
        input=count(reported, "input_tokens"),
        cache_read=count(reported, "cache_read_input_tokens"),
        cache_write_5m=rest(written, hour),
        cache_write_1h=hour,
        output=count(reported, "output_tokens"),
        reasoning=count(reported, "output_tokens_details", "thinking_tokens"),
    )


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _turn(turn: Turn) -> dict[str, Any]:
    return {"role": turn.role, "content": turn.text}


def _thinks_least(wanted: Effort | None, sent: Effort | None, ability: Ability) -> bool:
    """Only who asks for no thinking gets none, and only beside an effort that allows it."""
    if wanted != "none" or not ability.off or sent is None:
        return False
    return EFFORTS.index(sent) <= EFFORTS.index(ability.off_up_to)
