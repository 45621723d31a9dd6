"""What Google's SDK raises, in our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from ragkit.errors import AuthFailed, ProviderError
from ragkit.providers.sdk import UNREADABLE, clean, lost
from ragkit.providers.wire import NOTHING_BILLED, Failure, error_of, malformed

WRONG_KEY = ("API_KEY_INVALID", "API_KEY_EXPIRED")
DELAY = re.compile(r"([0-9.]+)s")


@dataclass(frozen=True, slots=True)
class GeminiErrors:
    """Turns errors into ours, without the key in any text; `errors` is the SDK's module of that name."""

    provider: str
    key: str
    errors: Any

    @property
    def caught(self) -> tuple[type[Exception], ...]:
        from google.auth.exceptions import GoogleAuthError

        return (self.errors.APIError, httpx2.HTTPError, GoogleAuthError, *UNREADABLE)

    def translate(self, error: Exception, model: str) -> ProviderError:
        if isinstance(error, self.errors.APIError):
            return error_of(self._failure(error, model))
        if isinstance(error, httpx2.HTTPError):
            return lost(self.provider, error)
        if isinstance(error, UNREADABLE):
            return malformed(self.provider, f"an answer that cannot be read: {clean(error, self.key)}")
        return AuthFailed(
            f"{self.provider} finds no Google Cloud credentials: run `gcloud auth application-default login`",
            usage=NOTHING_BILLED,
            sent=False,
        )

    def cause(self, error: Exception) -> Exception | None:
        """The error to chain, None where its text would show the key."""
        return None if self.key and self.key in f"{error!r} {error}" else error

    def _failure(self, error: Any, model: str) -> Failure:
        told = error.details if isinstance(error.details, Mapping) else {}
        inner = told.get("error")
        details = inner.get("details") if isinstance(inner, Mapping) else None
        reasons = [detail.get("reason") for detail in details or () if isinstance(detail, Mapping)]
        wrong_key = any(reason in WRONG_KEY for reason in reasons)
        return Failure(
            self.provider,
            model,
            401 if wrong_key else error.code,
            message=clean(error.message or "", self.key),
            code=str(next(filter(None, reasons), "")),
            kind=str(error.status or ""),
            headers=_delay(details or ()) | dict(getattr(error.response, "headers", {})),
            native=isinstance(inner, Mapping),
            begun=not isinstance(error.response, httpx2.Response),
        )


def _delay(details: Sequence[Any]) -> dict[str, str]:
    """Google tells how long to wait in the body."""
    told = [str(detail.get("retryDelay", "")) for detail in details if isinstance(detail, Mapping)]
    seconds = [match[1] for delay in told if (match := DELAY.fullmatch(delay))]
    return {"retry-after": seconds[0]} if seconds else {}
