"""JSON over HTTP for APIs that are a request and an answer: an SDK would weigh more than all of ragkit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import httpx2

from ragkit.errors import ContextTooLong, ProviderError
from ragkit.nouns import Usage
from ragkit.providers.gemini_errors import WRONG_KEY
from ragkit.providers.sdk import UNREADABLE, clean, lost, require_key, timeouts
from ragkit.providers.wire import Failure, error_of, malformed, read_object, unreachable
from ragkit.settings import ProviderSettings

T = TypeVar("T")


class Rest:
    """A provider's API under one address and key."""

    def __init__(
        self,
        provider: str,
        key: str,
        base_url: str,
        *,
        key_header: str = "authorization",
        seconds: float = 60.0,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.provider = provider
        self._key = key
        self._base_url = base_url.rstrip("/")
        self._headers = {
            key_header: f"Bearer {key}" if key_header == "authorization" else key,
            "content-type": "application/json",
        }
        self._timeout = timeouts(seconds)
        self._http = http or httpx2.AsyncClient()

    async def ask(
        self,
        path: str,
        body: Mapping[str, Any],
        model: str,
        read: Callable[[Mapping[str, Any], str | None], T],
        *,
        seconds: float | None = None,
    ) -> T:
        """What `read` makes of the answer and its id, in `seconds` if this call has a limit of its own.

        Raises `ProviderError` only, without the key in any text.
        """
        timeout = self._timeout if seconds is None else timeouts(seconds)
        try:
            response = await self._http.post(
                self._base_url + path, content=_encode(body), headers=self._headers, timeout=timeout
            )
            if not response.is_success:
                raise self._error(response, model)
            return read(read_object(response.text), response.headers.get("x-request-id"))
        except httpx2.HTTPError as error:
            raise lost(self.provider, error) from self._cause(error)
        except httpx2.InvalidURL as error:
            raise unreachable(self.provider, "InvalidURL", sent=False) from error
        except UNREADABLE as error:
            said = clean(error, self._key)
            raise malformed(self.provider, f"an answer that cannot be read: {said}") from self._cause(error)

    async def aclose(self) -> None:
        await self._http.aclose()

    def _error(self, response: httpx2.Response, model: str) -> ProviderError:
        error = error_of(_failure(self.provider, model, response, self._key))
        if isinstance(error, ContextTooLong):
            advice = "lower ingest.max_tokens and ingest again, or choose another model"
            return ContextTooLong(f"a text is too long for '{model}': {advice}", usage=error.usage)
        return error

    def _cause(self, error: Exception) -> Exception | None:
        """The error to chain, None where its text would show the key."""
        return None if self._key in f"{error!r} {error}" else error


def open_rest(
    provider: str, settings: ProviderSettings, usual_url: str, *, seconds: float, http: httpx2.AsyncClient | None = None
) -> Rest:
    """The API as the settings say. Raises `ConfigError` without a key."""
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return Rest(
        provider,
        require_key(key, provider, f"{provider.upper()}_API_KEY"),
        settings.base_url or usual_url,
        key_header="x-goog-api-key" if provider == "gemini" else "authorization",
        seconds=seconds,
        http=http,
    )


def count_in(payload: Mapping[str, Any], *path: str) -> int | None:
    """A billed number, None where it is missing; Cohere may write whole numbers as floats."""
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise ValueError(f"'{'.'.join(path)}' is {value!r}")
    return int(value)


def named(request_id: str | None) -> tuple[str, ...]:
    """The ids of one call: providers need not name it."""
    return () if request_id is None else (request_id,)


def add_spent(error: ProviderError, spent: Usage) -> None:
    """Let the error of a later call of several tell what the earlier ones were billed."""
    if spent != Usage():
        error.usage = None if error.usage is None else error.usage + spent
        error.sent = True


def _encode(body: Mapping[str, Any]) -> bytes:
    """JSON; halves of characters, which no text should hold, become question marks."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _failure(provider: str, model: str, response: httpx2.Response, key: str) -> Failure:
    """The four providers shape their errors in three ways."""
    body = _object(response)
    inner = body.get("error", body)
    inner = inner if isinstance(inner, Mapping) else {}
    details = inner.get("details")
    reasons = [str(each.get("reason", "")) for each in details or () if isinstance(each, Mapping)]
    told = inner.get("message") or inner.get("detail") or ""
    failure = Failure(
        provider,
        model,
        response.status_code,
        message=clean(told, key),
        code=str(next(filter(None, reasons), "") or inner.get("code") or ""),
        kind=str(inner.get("type") or inner.get("status") or ""),
        headers=response.headers,
        request_id=response.headers.get("x-request-id"),
        native=bool(told),
    )
    return replace(failure, status=401) if failure.code in WRONG_KEY else failure


def _object(response: httpx2.Response) -> Mapping[str, Any]:
    try:
        return read_object(response.text)
    except ValueError:
        return {}
