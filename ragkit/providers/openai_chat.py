"""OpenAI's Chat Completions API, and through a `Dialect` whatever else speaks it.

The system message holds the instructions and then the prefix. Since GPT-5.6 caches are written at breakpoints, which
cost money, so breakpoints are explicit: one behind a marked prefix, none otherwise. Older models cache by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import httpx2

from ragkit.errors import ConfigError
from ragkit.money import PICO_PER_USD
from ragkit.nouns import CacheTtl, Completion, Lane, Request, Stop, Usage
from ragkit.provider import Piece, Started
from ragkit.providers.abilities import ability_of, effort_for
from ragkit.providers.sdk import Translator, import_sdk, require_key, timeouts
from ragkit.providers.wire import asked, count, malformed, nearest_ttl, read_object, rest, unbilled
from ragkit.settings import ProviderSettings, ProvidersSettings

BASE_URL = "https://api.openai.com/v1"
REGIONS = {"global": BASE_URL} | {
    region: f"https://{region}.api.openai.com/v1" for region in ("us", "eu", "ae", "au", "in", "jp")
}
TTLS: tuple[CacheTtl, ...] = ("30m",)
"""Chat reports writes without their lifetimes, so it gets the one whose price is certain; Responses takes 12h too."""
TIERS: dict[Lane, str] = {"standard": "default", "batch": "default", "flex": "flex", "priority": "priority"}
LANES: dict[str, Lane] = {"flex": "flex", "priority": "priority", "fast": "priority"}
STOPS: dict[str, Stop] = {"length": "length", "content_filter": "refusal"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between systems that speak Chat Completions.

    `key_field` takes the request's cache key, `limit_field` the output limit. `parts` says that texts go out as parts,
    which can be marked, and not as one string. `tiers` are the lanes on offer, `extra` goes into each body, `stream`
    into its stream options. `cost_headers` may hold the gateway's own idea of the cost in dollars, `cost_field` of the
    usage as well.
    """

    key_field: str = "prompt_cache_key"
    limit_field: str = "max_completion_tokens"
    parts: bool = True
    tiers: Mapping[Lane, str] = field(default_factory=lambda: TIERS)
    extra: Mapping[str, Any] = field(default_factory=dict)
    stream: Mapping[str, Any] = field(default_factory=dict)
    cost_headers: tuple[str, ...] = ()
    cost_field: str = ""


OPENAI = Dialect()
KEY_VARIABLES = {"openai": "OPENAI_API_KEY"}


def sdk_client(
    name: str,
    key: str,
    base_url: str | None,
    http: httpx2.AsyncClient | None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Any, Translator]:
    """The SDK's client, which tries nothing again by itself, and who makes our errors of its. Raises `MissingExtra`."""
    sdk = import_sdk("openai", "openai", name)
    client = sdk.AsyncOpenAI(
        api_key=key, base_url=base_url or BASE_URL, default_headers=headers, max_retries=0, http_client=http
    )
    return client, Translator(name, key, sdk)


class OpenAIChat:
    """Chat Completions by the official SDK."""

    def __init__(
        self,
        key: str | None,
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx2.AsyncClient | None = None,
        name: str = "openai",
        dialect: Dialect = OPENAI,
    ) -> None:
        self.name = name
        self._dialect = dialect
        key = require_key(key, name, KEY_VARIABLES.get(name, f"RAGKIT_PROVIDERS_{name.upper()}_API_KEY"))
        self._client, self._errors = sdk_client(name, key, base_url, http, headers)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIChat:
        own = settings.openai
        key = own.api_key.get_secret_value() if own.api_key else None
        return cls(key, base_url=address(own), http=http)

    async def complete(self, request: Request) -> Completion:
        try:
            raw = await self._create(request, stream=False)
            return from_wire(read_object(raw.text), self.name, raw.headers, self._dialect)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def stream(self, request: Request) -> AsyncIterator[Piece]:
        payload: dict[str, Any] = {}
        try:
            raw = await self._create(request, stream=True)
            async with raw.parse() as chunks:
                async for chunk in chunks:
                    first, pieces = not payload, fold(payload, chunk.to_dict(warnings=False))
                    if first:
                        yield Started(_request_id(payload, raw.headers))
                    for piece in pieces:
                        yield piece
            if not payload or payload["choices"][0].get("finish_reason") is None:
                raise malformed(self.name, "a stream without its end", raw.headers.get("x-request-id"))
            yield from_wire(payload, self.name, raw.headers, self._dialect)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()

    async def _create(self, request: Request, *, stream: bool) -> Any:
        """All but the required fields go as the extra body: dialects know fields that the SDK does not."""
        body = to_wire(request, self._dialect, stream=stream)
        return await self._client.chat.completions.with_raw_response.create(
            model=body.pop("model"),
            messages=body.pop("messages"),
            stream=stream,
            extra_body=body,
            timeout=timeouts(request.timeout),
        )


def address(settings: ProviderSettings) -> str:
    """Where OpenAI is called: as set, else where it computes in a region."""
    region = settings.region or "global"
    if settings.base_url is None and region not in REGIONS:
        raise ConfigError(f"[providers.openai] region is '{region}': OpenAI has {', '.join(sorted(REGIONS))}")
    return settings.base_url or REGIONS[region]


def to_wire(request: Request, dialect: Dialect = OPENAI, *, stream: bool = False) -> dict[str, Any]:
    """The body of `POST /v1/chat/completions`; the SDK adds `stream` itself."""
    ability = ability_of(request.model.id)
    schema = {"name": request.schema.name, "schema": dict(request.schema.json_schema), "strict": True}
    body: dict[str, Any] = {
        "model": request.model.id,
        "messages": _messages(request, dialect, mark=ability.breakpoints),
        "response_format": {"type": "json_schema", "json_schema": schema},
        dialect.limit_field: request.max_output,
        **dialect.extra,
    }
    if ability.breakpoints and dialect.parts:
        body["prompt_cache_options"] = {"mode": "explicit"}
    if request.cache_key and dialect.key_field:
        body[dialect.key_field] = request.cache_key
    if request.lane in dialect.tiers:
        body["service_tier"] = dialect.tiers[request.lane]
    effort = effort_for(request.model.effort, ability.efforts)
    if effort is not None:
        body["reasoning_effort"] = effort
    if stream:
        body["stream_options"] = {"include_usage": True, **dialect.stream}
    return body


def from_wire(
    payload: Mapping[str, Any],
    name: str = "openai",
    headers: Mapping[str, str] | None = None,
    dialect: Dialect = OPENAI,
) -> Completion:
    """The answer in a `ChatCompletion`; a refusal is its own text."""
    headers = headers or {}
    request_id = _request_id(payload, headers)
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled(name, "without usage", request_id)
    choice = payload["choices"][0]
    refusal = choice["message"].get("refusal")
    return Completion(
        text=refusal or choice["message"].get("content") or "",
        usage=usage_of(payload["usage"]),
        stop="refusal" if refusal else STOPS.get(choice["finish_reason"], "end"),
        served_by=payload["model"],
        request_id=request_id,
        lane=LANES.get(payload.get("service_tier") or "", "standard"),
        reported_pico=_reported(payload["usage"], headers, dialect),
    )


def _request_id(payload: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """The header that OpenAI's support asks for; servers that speak its protocol may have just the answer's id."""
    return headers.get("x-request-id") or payload.get("id")


def fold(payload: dict[str, Any], chunk: Mapping[str, Any]) -> list[str | Usage]:
    """Add a stream's chunk to the payload that the same call would have returned unstreamed; the pieces in it."""
    if not payload:
        payload.update(choices=[{"message": {"content": "", "refusal": None}, "finish_reason": None}])
    payload.update({name: chunk[name] for name in ("id", "model", "service_tier") if chunk.get(name)})
    pieces: list[str | Usage] = []
    if chunk.get("usage"):
        payload["usage"] = chunk["usage"]
        pieces.append(usage_of(chunk["usage"]))
    for choice in chunk.get("choices") or ():
        text = choice.get("delta", {}).get("content") or ""
        refusal = choice.get("delta", {}).get("refusal") or ""
        message = payload["choices"][0]["message"]
        message["content"] += text
        message["refusal"] = (message["refusal"] or "") + refusal or None
        payload["choices"][0]["finish_reason"] = choice.get("finish_reason") or payload["choices"][0]["finish_reason"]
        pieces.append(text)
    return pieces


def usage_of(reported: Mapping[str, Any]) -> Usage:
    """`prompt_tokens` includes what was cached; a total above its parts is output that was not listed, as reasoning."""
    prompt, listed = count(reported, "prompt_tokens"), count(reported, "completion_tokens")
    read = count(reported, "prompt_tokens_details", "cached_tokens")
    written = count(reported, "prompt_tokens_details", "cache_write_tokens")
    return Usage(
        input=rest(prompt, read, written),
        cache_read=read,
        cache_write_30m=written,
        output=max(listed, count(reported, "total_tokens") - prompt),
        reasoning=count(reported, "completion_tokens_details", "reasoning_tokens"),
    )


def _messages(request: Request, dialect: Dialect, *, mark: bool) -> list[dict[str, Any]]:
    prompt = request.prompt
    head = [_part(text) for text in (prompt.system, prompt.prefix.text) if text]
    if mark and prompt.prefix.marked:
        head[-1]["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": nearest_ttl(prompt.prefix.ttl, TTLS)}
    user = [_part(text) for text in asked(prompt)]
    turns = [{"role": turn.role, "content": turn.text} for turn in prompt.history]
    repair = [{"role": turn.role, "content": turn.text} for turn in request.repair]
    return [
        {"role": "system", "content": _content(head, dialect)},
        *turns,
        {"role": "user", "content": _content(user, dialect)},
        *repair,
    ]


def _part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _content(parts: list[dict[str, Any]], dialect: Dialect) -> list[dict[str, Any]] | str:
    return parts if dialect.parts else "\n\n".join(part["text"] for part in parts)


def _reported(usage: Mapping[str, Any], headers: Mapping[str, str], dialect: Dialect) -> int | None:
    """The gateway's own idea of the cost, to the nearest pico-dollar, kept beside our price."""
    told = [headers.get(name) for name in dialect.cost_headers]
    if dialect.cost_field:
        told.append(usage.get(dialect.cost_field))
    for value in told:
        try:
            if value is not None and (dollars := Decimal(str(value))).is_finite():
                return int((dollars * PICO_PER_USD).to_integral_value())
        except InvalidOperation:
            continue
    return None
