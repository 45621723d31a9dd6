"""Objects in Google Cloud Storage by its JSON API, with the credentials that Google's SDK uses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from ragkit.errors import AuthFailed, BadRequest, ProviderError
from ragkit.providers.sdk import UNREADABLE, clean, lost, timeouts
from ragkit.providers.wire import NOTHING_BILLED, Failure, error_of, malformed, read_object

URL = "https://storage.googleapis.com"
SCHEME = "gs://"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JSONL = "application/jsonl"
SECONDS = 600.0
"""What a file of a batch may take."""
NAME = "Cloud Storage"


class GoogleToken:
    """Access tokens, renewed when they end; without `credentials` those count that Google's own tools keep."""

    def __init__(self, credentials: Any = None) -> None:
        self._credentials = credentials
        self._renewing = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """Raises what `google.auth` raises: it finds no credentials, or they are not renewed."""
        async with self._renewing:
            return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, str]:
        if self._credentials is None:
            import google.auth

            self._credentials, _ = google.auth.default(scopes=[SCOPE])
        if not self._credentials.valid:
            from google.auth.transport.requests import Request

            self._credentials.refresh(Request())
        payer = getattr(self._credentials, "quota_project_id", None)
        return {"authorization": f"Bearer {self._credentials.token}"} | (
            {"x-goog-user-project": payer} if payer else {}
        )


class CloudStorage:
    """Objects by their `gs://` names. Raises `ProviderError`, and what `google.auth` raises."""

    def __init__(self, token: GoogleToken, http: httpx2.AsyncClient, base_url: str | None = None) -> None:
        self._token = token
        self._http = http
        self._base_url = (base_url or URL).rstrip("/")

    async def put(self, uri: str, content: bytes) -> None:
        """Write an object, over one of this name."""
        bucket, name = split(uri)
        query = {"uploadType": "media", "name": name}
        await self._ask("POST", f"/upload/storage/v1/b/{bucket}/o", uri, query, content)

    async def names(self, prefix: str) -> list[str]:
        """All objects whose names begin so."""
        bucket, begin = split(prefix)
        query, found = {"prefix": begin}, list[str]()
        while True:
            page = read_object((await self._ask("GET", f"/storage/v1/b/{bucket}/o", prefix, query)).text)
            found += [f"{SCHEME}{bucket}/{item['name']}" for item in page.get("items") or ()]
            if not page.get("nextPageToken"):
                return found
            query = {"prefix": begin, "pageToken": str(page["nextPageToken"])}

    async def rows(self, uri: str) -> AsyncIterator[dict[str, Any]]:
        """The objects in a file of JSON lines, as they come; only a line feed ends one, whatever else is in a text."""
        bucket, name = split(uri)
        url = f"{self._base_url}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        try:
            headers = await self._token.headers()
            async with self._http.stream(
                "GET", url, params={"alt": "media"}, headers=headers, timeout=timeouts(SECONDS)
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise _error(response, uri)
                async for line in _lines(response):
                    yield read_object(line.decode())
        except httpx2.HTTPError as error:
            raise lost(NAME, error) from error
        except UNREADABLE as error:
            raise malformed(NAME, f"a file that cannot be read, {uri}: {clean(error, '')}") from error

    async def _ask(
        self, method: str, path: str, uri: str, query: Mapping[str, str], content: bytes | None = None
    ) -> httpx2.Response:
        try:
            headers = {**await self._token.headers(), "content-type": JSONL}
            response = await self._http.request(
                method, self._base_url + path, params=query, content=content, headers=headers, timeout=timeouts(SECONDS)
            )
        except httpx2.HTTPError as error:
            raise lost(NAME, error) from error
        if not response.is_success:
            raise _error(response, uri)
        return response


def split(uri: str) -> tuple[str, str]:
    """Bucket and name."""
    bucket, _, name = uri.removeprefix(SCHEME).partition("/")
    return bucket, name


async def _lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for part in response.aiter_bytes():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _error(response: httpx2.Response, uri: str) -> ProviderError:
    bucket, told = split(uri)[0], _told(response)
    said = clean(told.get("message") or "", "")
    advice: Mapping[int, tuple[Callable[..., ProviderError], str]] = {
        401: (AuthFailed, "run `gcloud auth application-default login`"),
        403: (AuthFailed, f"give these credentials the role Storage Object User on the bucket '{bucket}'"),
        404: (BadRequest, f"make the bucket '{bucket}', or name another one as [providers.gemini] vertex_bucket"),
    }
    if response.status_code in advice:
        kind, what = advice[response.status_code]
        return kind(f"{NAME} refuses {uri} (HTTP {response.status_code}): {what}", usage=NOTHING_BILLED)
    return error_of(Failure(NAME, uri, response.status_code, message=said, headers=response.headers, native=bool(told)))


def _told(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        inner = json.loads(response.text).get("error")
    except (ValueError, AttributeError):
        return {}
    return inner if isinstance(inner, Mapping) else {}
