"""OpenAI's batches: a file of requests in, files of results and errors out; the marker stands in the metadata."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2

from ragkit.batch import Limits, Line, Progress, Progressing, Result
from ragkit.batches.reading import completed, refused
from ragkit.nouns import Completion, Request
from ragkit.providers import openai_chat, openai_responses
from ragkit.providers.openai_chat import address, sdk_client
from ragkit.providers.sdk import require_key, timeouts
from ragkit.settings import ProvidersSettings

LIMITS = Limits(requests=50_000, bytes=200 * 1024 * 1024)
UPLOAD_SECONDS = 600.0
PAGE = 100
MARK = "ragkit"
PROGRESS: dict[str, Progress] = {
    "completed": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "failed": "failed",
}
FINAL = (400, 401, 403, 404, 413, 422)
"""Statuses that the same request meets again."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the APIs that batches can be sent to."""

    path: str
    to_wire: Callable[[Request], dict[str, Any]]
    from_wire: Callable[[Mapping[str, Any]], Completion]


RESPONSES = Endpoint("/v1/responses", openai_responses.to_wire, openai_responses.from_wire)
CHAT = Endpoint("/v1/chat/completions", openai_chat.to_wire, openai_chat.from_wire)


class OpenAIBatches:
    """Batches by the official SDK; `name` is that of the provider whose requests they carry."""

    def __init__(
        self,
        key: str | None,
        *,
        base_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
        name: str = "openai",
        endpoint: Endpoint = RESPONSES,
    ) -> None:
        self.name, self.limits = name, LIMITS
        self._endpoint = endpoint
        key = require_key(key, "openai", "OPENAI_API_KEY")
        self._client, self._errors = sdk_client(name, key, base_url, http)

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIBatches:
        return _configured(settings, http, "openai", RESPONSES)

    @classmethod
    def configured_chat(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIBatches:
        return _configured(settings, http, "openai-chat", CHAT)

    def body(self, request: Request) -> Mapping[str, Any]:
        body = self._endpoint.to_wire(request)
        body.pop("service_tier", None)  # a batch is a tier of its own
        return body

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        path = self._endpoint.path
        rows = ({"custom_id": it.name, "method": "POST", "url": path, "body": dict(it.body)} for it in lines)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        try:
            file = await self._client.files.create(
                file=(f"{marker}.jsonl", io.BytesIO(content)), purpose="batch", timeout=timeouts(UPLOAD_SECONDS)
            )
            batch = await self._client.batches.create(
                input_file_id=file.id, endpoint=path, completion_window="24h", metadata={MARK: marker}
            )
            return str(batch.id)
        except self._errors.caught as error:
            raise self._errors.translate(error, model) from self._errors.cause(error)

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        try:
            batches = self._client.batches.list(limit=PAGE)
            return tuple([str(batch.id) async for batch in batches if (batch.metadata or {}).get(MARK) == marker])
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def progress(self, batch_id: str) -> Progressing:
        batch = await self._retrieve(batch_id)
        counts, problems = batch.request_counts, (batch.errors.data if batch.errors else None) or ()
        done = max(filter(None, (batch.completed_at, batch.expired_at, batch.cancelled_at)), default=None)
        return Progressing(
            PROGRESS.get(batch.status, "running"),
            counts.total if counts else 0,
            counts.completed + counts.failed if counts else 0,
            datetime.fromtimestamp(done, UTC) if done else None,
            "; ".join(str(problem.message) for problem in problems[:3]),
        )

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        batch = await self._retrieve(batch_id)
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            try:
                content = await self._client.files.content(file_id)
            except self._errors.caught as error:
                raise self._errors.translate(error, "") from self._errors.cause(error)
            for row in content.text.split("\n"):  # what else ends a line in Python may stand in an answer
                if row.strip():
                    yield self._result(json.loads(row))

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._client.batches.cancel(batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()

    async def _retrieve(self, batch_id: str) -> Any:
        try:
            return await self._client.batches.retrieve(batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from self._errors.cause(error)

    def _result(self, row: Mapping[str, Any]) -> Result:
        name, response, error = str(row["custom_id"]), row.get("response") or {}, row.get("error") or {}
        if not response:
            return refused(name, error.get("message") or error.get("code"), again=True)
        status, body = response.get("status_code"), response.get("body") or {}
        if status != 200:
            return refused(name, (body.get("error") or {}).get("message"), again=status not in FINAL)
        return completed(name, lambda: self._endpoint.from_wire(body))


def _configured(
    settings: ProvidersSettings, http: httpx2.AsyncClient | None, name: str, endpoint: Endpoint
) -> OpenAIBatches:
    own = settings.openai
    key = own.api_key.get_secret_value() if own.api_key else None
    return OpenAIBatches(key, base_url=address(own), http=http, name=name, endpoint=endpoint)
