"""Vertex AI's batches of Gemini models: a file of requests in Cloud Storage in, a file of answers there out.

The marker is the job's display name and the folder of its files. Each request carries the name of its line as a label,
which comes back with the answer: answers keep no order.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx2

from ragkit.batch import Limits, Line, Progress, Progressing, Result
from ragkit.batches.cloud_storage import SCHEME, CloudStorage, GoogleToken
from ragkit.batches.gemini import FINAL, PAGE, PROGRESS, http_options
from ragkit.batches.reading import completed, refused
from ragkit.errors import ConfigError, ProviderError
from ragkit.nouns import Request
from ragkit.providers.gemini import Vertex, from_wire, to_wire
from ragkit.providers.gemini_errors import GeminiErrors
from ragkit.providers.sdk import import_sdk
from ragkit.settings import ProvidersSettings

LIMITS = Limits(requests=50_000, bytes=200 * 1024 * 1024)
"""Below what Vertex AI takes: a batch is put together in memory."""
LABEL = "ragkit"
GENERATION = {
    "response_mime_type": "responseMimeType",
    "response_json_schema": "responseJsonSchema",
    "max_output_tokens": "maxOutputTokens",
}
THINKING = {"thinking_budget": "thinkingBudget", "thinking_level": "thinkingLevel"}


class VertexBatches:
    """Batches by the official SDK, their files by REST; `bucket` is `BUCKET/FOLDER`, with or without `gs://`."""

    def __init__(
        self,
        vertex: Vertex,
        bucket: str,
        *,
        base_url: str | None = None,
        storage_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.name, self.limits = "gemini", LIMITS
        genai = import_sdk("google.genai", "gemini", "Gemini")
        self._http = http or httpx2.AsyncClient(follow_redirects=True)
        self._client = genai.Client(
            vertexai=True,
            project=vertex.project,
            location=vertex.location,
            credentials=vertex.credentials,
            http_options=http_options(self._http, base_url),
        )
        self._errors = GeminiErrors(self.name, "", genai.errors)
        self._storage = CloudStorage(GoogleToken(vertex.credentials), self._http, storage_url)
        self._folder = SCHEME + bucket.removeprefix(SCHEME).strip("/")

    @classmethod
    def configured(cls, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> VertexBatches:
        own = settings.gemini
        if not own.vertex_project or not own.vertex_bucket:
            raise ConfigError(
                "batches of Vertex AI are read from Cloud Storage and written there: "
                "set vertex_bucket in [providers.gemini] to gs://BUCKET/FOLDER, or ask live"
            )
        vertex = Vertex(own.vertex_project, own.vertex_location)
        return cls(vertex, own.vertex_bucket, base_url=own.base_url, storage_url=own.vertex_storage_url, http=http)

    def body(self, request: Request) -> Mapping[str, Any]:
        """The body of `generateContent` as REST has it: no SDK translates what stands in a file."""
        wire = to_wire(request)
        config = wire["config"]
        generation: dict[str, Any] = {name: config[key] for key, name in GENERATION.items() if key in config}
        if thinking := config.get("thinking_config"):
            generation["thinkingConfig"] = {name: thinking[key] for key, name in THINKING.items() if key in thinking}
        return {
            "contents": wire["contents"],
            "systemInstruction": config["system_instruction"],
            "generationConfig": generation,
        }

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        rows = ({"request": {**line.body, "labels": {LABEL: line.name}}} for line in lines)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        source, config = f"{self._folder}/{marker}/requests.jsonl", self._job(marker)
        try:
            await self._put(source, content)
            job = await self._client.aio.batches.create(model=model, src=source, config=config)
            return str(job.name)
        except self._errors.caught as error:
            raise self._errors.translate(error, model) from error

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        config = {"page_size": PAGE, "filter": f'display_name="{marker}"'}
        try:
            jobs = await self._client.aio.batches.list(config=config)
            return tuple([str(job.name) async for job in jobs if job.display_name == marker])
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from error

    async def progress(self, batch_id: str) -> Progressing:
        """A job that failed on its way has been billed for what it had answered by then, which is there to collect."""
        job = await self._get(batch_id)
        stats = job.completion_stats
        done = (stats.successful_count or 0) + (stats.failed_count or 0) if stats else 0
        left = max(0, stats.incomplete_count or 0) if stats else 0
        progress: Progress = PROGRESS.get(job.state.value if job.state else "", "running")
        if progress == "failed" and (done or _directory(job)):
            progress = "ended"
        reason = job.error.message if job.error else ""
        return Progressing(progress, done + left, done, job.end_time, reason or "")

    async def results(self, batch_id: str) -> AsyncIterator[Result]:
        job = await self._get(batch_id)
        place = _directory(job) or (job.dest.gcs_uri if job.dest else None)
        try:
            for name in await self._storage.names(place.rstrip("/") + "/") if place else ():
                if name.endswith(".jsonl"):
                    async for row in self._storage.rows(name):
                        yield _result(row)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from error

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._client.aio.batches.cancel(name=batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from error

    async def aclose(self) -> None:
        self._client.close()
        await self._client.aio.aclose()
        await self._http.aclose()

    def _job(self, marker: str) -> dict[str, Any]:
        return {"display_name": marker, "dest": f"{self._folder}/{marker}/answers"}

    async def _put(self, uri: str, content: bytes) -> None:
        """A file alone is no batch: whatever happens to it, nothing has been created."""
        try:
            await self._storage.put(uri, content)
        except ProviderError as error:
            error.sent = False
            raise

    async def _get(self, batch_id: str) -> Any:
        try:
            return await self._client.aio.batches.get(name=batch_id)
        except self._errors.caught as error:
            raise self._errors.translate(error, "") from error


def _directory(job: Any) -> str | None:
    """Where a job has written, once it has."""
    return job.output_info.gcs_output_directory if job.output_info else None


def _result(row: Mapping[str, Any]) -> Result:
    name = _name(row)
    if row.get("status"):
        code, message = _failure(str(row["status"]))
        return refused(name, message, again=code not in FINAL)
    return completed(name, lambda: from_wire(row["response"]))


def _name(row: Mapping[str, Any]) -> str:
    """Empty where the row does not say whose it is, which is no reason not to read those behind it."""
    request = row.get("request")
    labels = request.get("labels") if isinstance(request, Mapping) else None
    return str(labels.get(LABEL, "")) if isinstance(labels, Mapping) else ""


def _failure(status: str) -> tuple[int | None, str]:
    """Code and words of a status such as `Bad Request: {"error": {"code": 400, ...}}`."""
    _, brace, rest = status.partition("{")
    try:
        error = json.loads(brace + rest)["error"]
        return error.get("code"), str(error.get("message") or status)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, status
