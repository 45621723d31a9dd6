"""Errors of SDKs in ours. The SDKs of Anthropic and OpenAI come from one generator and share their error classes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from ragkit.errors import ConfigError, MissingExtra, ProviderError
from ragkit.providers.wire import LONGEST_QUOTE, Failure, error_of, malformed, unreachable

CONNECT_SECONDS = 5.0
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What reading an answer raises that is not built as its provider builds answers."""
STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that an error inside a stream would have had; anything else is a broken server."""


def import_sdk(module: str, extra: str, provider: str) -> Any:
    """An SDK, imported when the first adapter that needs it is made: they take a second to load."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(extra, f"asking {provider}") from error


def require_key(key: str | None, provider: str, variable: str) -> str:
    """The key, or what to set."""
    if not key:
        raise ConfigError(f"{provider} has no key: set {variable}, or api_key in [providers.{provider}]")
    return key


def timeouts(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))


@dataclass(frozen=True, slots=True)
class Translator:
    """Turns what an SDK raises into our errors, without the key in any text."""

    provider: str
    key: str
    sdk: Any

    @property
    def caught(self) -> tuple[type[Exception], ...]:
        return (self.sdk.APIError, httpx2.HTTPError, *UNREADABLE)

    def translate(self, error: Exception, model: str) -> ProviderError:
        if isinstance(error, self.sdk.APIStatusError):
            return error_of(self._failure(error, model))
        if isinstance(error, self.sdk.APIConnectionError | httpx2.HTTPError):
            return lost(self.provider, error)
        if isinstance(error, self.sdk.APIError):
            return error_of(self._broken_off(error, error.body, model))
        return malformed(self.provider, f"an answer that cannot be read: {clean(error, self.key)}")

    def cause(self, error: Exception) -> Exception | None:
        """The error to chain, None where its text would show the key."""
        return None if self.key in f"{error!r} {error}" else error

    def _failure(self, error: Any, model: str) -> Failure:
        if error.status_code < 400:
            return self._broken_off(error, error.body, model)
        body = _inner(error.body)
        details = body.get("details")
        return Failure(
            self.provider,
            model,
            error.status_code,
            message=clean(body.get("message") or "", self.key),
            code=str((details or {}).get("error_code") or body.get("code") or ""),
            kind=str(body.get("type") or ""),
            headers=error.response.headers,
            request_id=error.request_id,
            native=bool(body),
        )

    def _broken_off(self, error: Exception, body: object, model: str) -> Failure:
        """An error event inside a stream whose status was 200."""
        inner = _inner(body)
        kind = str(inner.get("type") or "")
        status = STATUS.get(str(inner.get("code") or kind), 500)
        message = clean(inner.get("message") or error, self.key)
        return Failure(self.provider, model, status, message=message, code=str(inner.get("code") or ""), begun=True)


def lost(provider: str, error: Exception) -> ProviderError:
    """No answer: it may have been lost on the way back, unless the request never left."""
    root = error if isinstance(error, httpx2.HTTPError) else error.__cause__
    return unreachable(provider, type(root or error).__name__, sent=not isinstance(root, NEVER_SENT))


def clean(text: object, key: str) -> str:
    """One line of a foreign text, short and without the key."""
    words = " ".join(str(text).split())
    return (words.replace(key, "***") if key else words)[:LONGEST_QUOTE]


def _inner(body: object) -> Mapping[str, Any]:
    """The error object; OpenAI's SDK has unwrapped it already."""
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}
