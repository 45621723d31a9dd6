"""Gemini, by key or through Vertex AI.

Caches are implicit: the system instruction holds the instructions and then the prefix, always the same bytes. An
explicit cache is named by `cached_content`; it holds the system instruction, which is then not sent again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2

from ragkit.nouns import Completion, Effort, Lane, Model, Request, Role, Stop, Turn, Usage
from ragkit.provider import Piece, Started
from ragkit.providers.abilities import ability_of, effort_for
from ragkit.providers.gemini_errors import GeminiErrors
from ragkit.providers.gemini_rent import GeminiRent
from ragkit.providers.sdk import import_sdk, require_key
from ragkit.providers.wire import asked, count, malformed, read_object, rest, unbilled
from ragkit.settings import ProvidersSettings

ROLES: dict[Role, str] = {"user": "user", "assistant": "model"}
TIERS: dict[Lane, str] = {"flex": "flex", "priority": "priority"}
LANES: dict[str, Lane] = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
}
BUDGETS: dict[Effort, int] = {"none": 0, "low": 1024, "medium": 8192, "high": 24576}
REFUSALS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "LANGUAGE")
STOPS: dict[str, Stop] = {"MAX_TOKENS": "length", **dict.fromkeys(REFUSALS, "refusal")}


CachedContent = Callable[[Request], str | None]


@dataclass(frozen=True, slots=True)
class Vertex:
    """A Google Cloud project; without `credentials` those count that Google's own tools keep on this machine."""

    project: str
    location: str = "global"
    credentials: Any = None


class Gemini:
    """Gemini models by the official SDK, through Vertex AI where a project is given.

    `cached_content` names the explicit cache that holds the head of a request's prompt, instead of `landlord`, which
    rents them.
    """

    def __init__(
        self,
        key: str | None = None,
        *,
        base_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
        vertex: Vertex | None = None,
        cached_content: CachedContent | None = None,
    ) -> None:
        self.name = "gemini"
        key = None if vertex else require_key(key, self.name, "GEMINI_API_KEY")
        genai = import_sdk("google.genai", "gemini", "Gemini")
        # Given a client, the SDK does not take aiohttp, with which it tries again by itself.
        self._http = http or httpx2.AsyncClient(follow_redirects=True)
        options = {"httpx_async_client": self._http, "base_url": base_url, "retry_options": {"attempts": 1}}
        self._client = genai.Client(
            api_key=key,
            vertexai=vertex is not None,
            project=vertex.project if vertex else None,
            location=vertex.location if vertex else None,
            credentials=vertex.credentials if vertex else None,
            http_options=options,
        )
        self._errors = GeminiErrors(self.name, key or "", genai.errors)
        self.landlord = GeminiRent(self._client, self._errors)
        self._cached_content = cached_content or self.landlord.name_of

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> Gemini:
        own = settings.gemini
        vertex = Vertex(own.vertex_project, own.vertex_location) if own.vertex_project else None
        key = own.api_key.get_secret_value() if own.api_key else None
        return cls(key, base_url=own.base_url, http=http, vertex=vertex)

    async def complete(self, request: Request) -> Completion:
        config = {"should_return_http_response": True}
        try:
            answer = await self._client.aio.models.generate_content(**self._arguments(request, config))
            raw = answer.sdk_http_response
            return from_wire(read_object(raw.body), self.name, raw.headers, request.lane)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def stream(self, request: Request) -> AsyncIterator[Piece]:
        payload: dict[str, Any] = {}
        headers: Mapping[str, str] = {}
        try:
            chunks = await self._client.aio.models.generate_content_stream(**self._arguments(request, {}))
            async with aclosing(chunks):
                async for chunk in chunks:
                    headers = chunk.sdk_http_response.headers
                    told = chunk.model_dump(mode="json", by_alias=True, exclude_none=True)
                    first, pieces = not payload, fold(payload, told)
                    if first:
                        yield Started(payload.get("responseId"))
                    for piece in pieces:
                        yield piece
            if not _ended(payload):
                raise malformed(self.name, "a stream without its end", payload.get("responseId"))
            yield from_wire(payload, self.name, headers, request.lane)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    async def aclose(self) -> None:
        self._client.close()
        await self._client.aio.aclose()
        await self._http.aclose()

    def _arguments(self, request: Request, config: dict[str, Any]) -> dict[str, Any]:
        wire = to_wire(request, self._cached_content(request))
        own = {"http_options": {"timeout": int(request.timeout * 1000)}, **config}
        return {"model": request.model.id, "contents": wire["contents"], "config": wire["config"] | own}


def to_wire(request: Request, cached_content: str | None = None) -> dict[str, Any]:
    """The arguments of `generate_content`: its contents and its config, without SDK options."""
    prompt = request.prompt
    config: dict[str, Any] = {
        "response_mime_type": "application/json",
        "response_json_schema": dict(request.schema.json_schema),
        "max_output_tokens": request.max_output,
        # Each continuation would be another call that is billed and that no ledger row counts.
        "automatic_continuation": False,
        "automatic_function_calling": {"disable": True},
    }
    if cached_content:
        config["cached_content"] = cached_content
    else:
        config["system_instruction"] = {"parts": [_part(text) for text in (prompt.system, prompt.prefix.text) if text]}
    if request.lane in TIERS:
        config["service_tier"] = TIERS[request.lane]
    if thinking := _thinking(request.model):
        config["thinking_config"] = thinking
    contents = [
        *map(_turn, prompt.history),
        {"role": "user", "parts": [_part(text) for text in asked(prompt)]},
        *map(_turn, request.repair),
    ]
    return {"contents": contents, "config": config}


def from_wire(
    payload: Mapping[str, Any],
    name: str = "gemini",
    headers: Mapping[str, str] | None = None,
    lane: Lane = "standard",
) -> Completion:
    """The answer in a `GenerateContentResponse`; a blocked prompt has no candidates. `lane` counts if none is told."""
    usage = payload.get("usageMetadata")
    request_id = payload.get("responseId")
    if not isinstance(usage, Mapping):
        raise unbilled(name, "without usage", request_id)
    blocked = (payload.get("promptFeedback") or {}).get("blockReason")
    candidate = {} if blocked else payload["candidates"][0]
    parts = (candidate.get("content") or {}).get("parts") or ()
    told = usage.get("trafficType") or (headers or {}).get("x-gemini-service-tier") or ""
    return Completion(
        text="".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        usage=_usage(usage),
        stop="refusal" if blocked else STOPS.get(candidate["finishReason"], "end"),
        served_by=payload["modelVersion"],
        request_id=request_id,
        lane=LANES.get(told, lane if lane in TIERS else "standard"),
    )


def fold(payload: dict[str, Any], chunk: Mapping[str, Any]) -> list[str | Usage]:
    """Add a stream's chunk to the payload that the same call would have returned unstreamed; the pieces in it."""
    names = ("responseId", "modelVersion", "promptFeedback", "usageMetadata")
    payload.update({name: chunk[name] for name in names if name in chunk})
    whole = payload.setdefault("candidates", [{"content": {"parts": []}}])[0]
    pieces: list[str | Usage] = []
    for candidate in chunk.get("candidates") or ():
        parts = (candidate.get("content") or {}).get("parts") or ()
        whole["content"]["parts"].extend(parts)
        whole["finishReason"] = candidate.get("finishReason") or whole.get("finishReason")
        pieces.extend("" if part.get("thought") else part.get("text", "") for part in parts)
    if "usageMetadata" in chunk:
        pieces.append(_usage(chunk["usageMetadata"]))
    return pieces


def _ended(payload: Mapping[str, Any]) -> bool:
    blocked = (payload.get("promptFeedback") or {}).get("blockReason")
    return bool(blocked or (payload and payload["candidates"][0].get("finishReason")))


def _usage(reported: Mapping[str, Any]) -> Usage:
    """`promptTokenCount` includes what was cached, `candidatesTokenCount` excludes thoughts, which are billed."""
    read, thoughts = count(reported, "cachedContentTokenCount"), count(reported, "thoughtsTokenCount")
    return Usage(
        input=rest(count(reported, "promptTokenCount"), read) + count(reported, "toolUsePromptTokenCount"),
        cache_read=read,
        output=count(reported, "candidatesTokenCount") + thoughts,
        reasoning=thoughts,
    )


def _thinking(model: Model) -> dict[str, Any] | None:
    """Older models take a budget in tokens, newer ones a level and refuse a budget."""
    ability = ability_of(model.id)
    effort = effort_for(model.effort, ability.efforts)
    if effort is None:
        return None
    return {"thinking_budget": BUDGETS[effort]} if ability.budget else {"thinking_level": effort.upper()}


def _turn(turn: Turn) -> dict[str, Any]:
    return {"role": ROLES[turn.role], "parts": [_part(turn.text)]}


def _part(text: str) -> dict[str, Any]:
    return {"text": text}
