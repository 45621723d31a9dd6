"""Gemini's batches with inline requests; the marker is their display name, and each line carries its name along."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx2

from ragkit.batch import Limits, Line, Progress, Progressing, Result
from ragkit.batches.reading import completed, refused
from ragkit.nouns import Request
from ragkit.providers.gemini import from_wire, to_wire
from ragkit.providers.gemini_errors import GeminiErrors
from ragkit.providers.sdk import import_sdk, require_key
from ragkit.settings import ProvidersSettings

LIMITS = Limits(requests=10_000, bytes=20 * 1024 * 1024)
UPLOAD_MILLISECONDS = 600_000
PAGE = 100
PROGRESS: dict[str, Progress] = {
    "JOB_STATE_SUCCEEDED": "ended",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "ended",
    "JOB_STATE_CANCELLED": "ended",
    "JOB_STATE_EXPIRED": "ended",
    "JOB_STATE_FAILED": "failed",
}
FINAL = (3, 5, 7, 9, 16, 400, 401, 403, 404)
"""Codes, of gRPC or of HTTP, that the same request meets again."""
NOT_IN_BATCHES = ("automatic_continuation", "automatic_function_calling", "service_tier")
"""What steers the SDK's own loop around a call, which a batch has not."""


def http_options(http: httpx2.AsyncClient, base_url: str | None) -> dict[str, Any]:
    """How the SDK calls: nothing is tried again behind our back, and an upload may take its time."""
    return {
        "httpx_async_client": http,
        "base_url": base_url,
        "timeout": UPLOAD_MILLISECONDS,
        "retry_options": {"attempts": 1},
    }


class GeminiBatches:
    """Batches by the official SDK, for keys of the Gemini API."""

    def __init__(self, key: str | None, *, base_url: str | None = None, http: httpx2.AsyncClient | None = None) -> None:
        self.name, self.limits = "gemini", LIMITS
        key = require_key(key, self.name, "GEMINI_API_KEY")
        genai = import_sdk("google.genai", "gemini", "Gemini")
        self._http = http or httpx2.AsyncClient(follow_redirects=True)
        self._client = genai.Client(api_key=key, http_options=http_options(self._http, base_url))
        self._errors = GeminiErrors(self.name, key, genai.errors)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> GeminiBatches:
        own = settings.gemini
        return cls(own.api_key.get_secret_value() if own.api_key else None, base_url=own.base_url, http=http)

    def body(self, request: Request) -> Mapping[str, Any]:
        wire = to_wire(request)
        config = {key: value for key, value in wire["config"].items() if key not in NOT_IN_BATCHES}
        return {"contents": wire["contents"], "config": config}

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        requests = [{**line.body, "metadata": {"name": line.name}} for line in lines]
        try:
            job = await self._client.aio.batches.create(model=model, src=requests, config={"display_name": marker})
            return str(job.name)
        except self._errors.caught as error:
            raise self._errors.translate(error, model) from self._errors.cause(error)

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        try:
            jobs = await self._client.aio.batches.list(config={"page_size": PAGE})
            return tuple([str(job.name) async for job in jobs if job.display_name == marker])
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def progress(self, batch_id: str) -> Progressing:
        job = await self._get(batch_id)
        reason = job.error.message if job.error else ""
        state = job.state.value if job.state else ""
        return Progressing(PROGRESS.get(state, "running"), ended=job.end_time, reason=reason or "")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        job = await self._get(batch_id)
        for answer in (job.dest.inlined_responses if job.dest else None) or ():
            yield _result(answer.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._client.aio.batches.cancel(name=batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def aclose(self) -> None:
        self._client.close()
        await self._client.aio.aclose()
        await self._http.aclose()

    async def _get(self, batch_id: str) -> Any:
        try:
            return await self._client.aio.batches.get(name=batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)


def _result(answer: Mapping[str, Any]) -> Result:
    name = str((answer.get("metadata") or {}).get("name", ""))
    error = answer.get("error")
    if error:
        return refused(name, error.get("message"), again=error.get("code") not in FINAL)
    return completed(name, lambda: from_wire(answer["response"]))
