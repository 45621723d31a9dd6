"""Anthropic's Message Batches.

A batch carries no marker of ours while it runs; only its results name its lines. A lost submission is found again by
its size and age, and its results say whether it is the one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx2

from ragkit.batch import Limits, Line, Progressing, Result
from ragkit.batches.reading import completed, refused
from ragkit.nouns import Request
from ragkit.providers.anthropic import BASE_URL, from_wire, to_wire
from ragkit.providers.sdk import Translator, import_sdk, require_key, timeouts
from ragkit.settings import ProvidersSettings

LIMITS = Limits(requests=100_000, bytes=256 * 1024 * 1024)
UPLOAD_SECONDS = 600.0
PAGE = 100
SKEW = timedelta(minutes=2)
"""How far the provider's clock may be behind ours."""
FINAL = ("invalid_request_error", "authentication_error", "permission_error", "billing_error", "not_found_error")
"""Errors that the same request meets again."""


class AnthropicBatches:
    """Batches by the official SDK."""

    def __init__(
        self, key: str | None, *, base_url: str | None = None, region: str | None = None, http: Any = None
    ) -> None:
        self.name, self.limits = "anthropic", LIMITS
        self._region = region
        key = require_key(key, self.name, "ANTHROPIC_API_KEY")
        sdk = import_sdk("anthropic", "anthropic", "Anthropic")
        self._client = sdk.AsyncAnthropic(
            api_key=key, base_url=base_url or BASE_URL, max_retries=0, http_client=http, open_telemetry=False
        )
        self._errors = Translator(self.name, key, sdk)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> AnthropicBatches:
        own = settings.anthropic
        key = own.api_key.get_secret_value() if own.api_key else None
        return cls(key, base_url=own.base_url, region=own.region, http=http)

    def body(self, request: Request) -> Mapping[str, Any]:
        body = to_wire(request, self._region)
        del body["service_tier"]  # a batch is a tier of its own
        return body

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        requests = [{"custom_id": line.name, "params": dict(line.body)} for line in lines]
        try:
            batch = await self._client.messages.batches.create(requests=requests, timeout=timeouts(UPLOAD_SECONDS))
            return str(batch.id)
        except self._errors.caught as error:
            raise self._errors.translate(error, model) from self._errors.cause(error)

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        found = []
        try:
            async for batch in await self._client.messages.batches.list(limit=PAGE):
                if batch.created_at < since - SKEW:
                    break
                if _total(batch.request_counts) == size:
                    found.append(str(batch.id))
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)
        return tuple(reversed(found))

    async def progress(self, batch_id: str) -> Progressing:
        try:
            batch = await self._client.messages.batches.retrieve(batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)
        total, counts = _total(batch.request_counts), batch.request_counts
        ended = batch.processing_status == "ended"
        return Progressing("ended" if ended else "running", total, total - counts.processing, batch.ended_at)

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        try:
            async for entry in await self._client.messages.batches.results(batch_id):
                yield _result(entry.to_dict(warnings=False))
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._client.messages.batches.cancel(batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()


def _total(counts: Any) -> int:
    return int(counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired)


def _result(entry: Mapping[str, Any]) -> Result:
    name, result = str(entry["custom_id"]), entry["result"]
    match result["type"]:
        case "succeeded":
            return completed(name, lambda: from_wire(result["message"]))
        case "errored":
            told = (result.get("error") or {}).get("error") or {}
            return refused(name, told.get("message"), again=told.get("type") not in FINAL)
        case kind:
            return Result(name, reason=f"the batch {kind} before this question was worked off", again=True)
