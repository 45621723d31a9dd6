"""Gemini's explicit caches: made, renewed, and named by the requests whose head they hold."""

from __future__ import annotations

from typing import Any

from ragkit.caching.rent import Rented
from ragkit.nouns import Request
from ragkit.providers.gemini_errors import GeminiErrors
from ragkit.providers.wire import count, unbilled


class GeminiRent:
    """The caches of one client, by model and prefix."""

    def __init__(self, client: Any, errors: GeminiErrors) -> None:
        self._client = client
        self._errors = errors
        self._names: dict[tuple[str, str], str] = {}

    def name_of(self, request: Request) -> str | None:
        """The cache that holds the head of this request."""
        return self._names.get(_key(request)) if request.prompt.prefix.text else None

    async def rent(self, request: Request, seconds: int) -> Rented:
        prompt = request.prompt
        parts = [{"text": text} for text in (prompt.system, prompt.prefix.text)]
        config = {
            "system_instruction": {"parts": parts},
            "ttl": f"{seconds}s",
            "http_options": {"timeout": int(request.timeout * 1000)},
        }
        try:
            made = await self._client.aio.caches.create(model=request.model.id, config=config)
            told = made.model_dump(mode="json", by_alias=True, exclude_none=True)
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)
        tokens = count(told, "usageMetadata", "totalTokenCount")
        if not told.get("name") or not tokens:
            raise unbilled(self._errors.provider, "a cache without a name or a size")
        self._names[_key(request)] = told["name"]
        return Rented(told["name"], tokens)

    async def renew(self, request: Request, seconds: int) -> None:
        try:
            await self._client.aio.caches.update(name=self._names[_key(request)], config={"ttl": f"{seconds}s"})
        except self._errors.caught as error:
            raise self._errors.translate(error, request.model.id) from self._errors.cause(error)

    def forget(self, request: Request) -> None:
        self._names.pop(_key(request), None)


def _key(request: Request) -> tuple[str, str]:
    return request.model.id, request.cache_key
