"""What adapters share: reading numbers, lifetimes of caches, and errors in words that help."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    ProviderError,
    RateLimited,
    SpendLimitReached,
    Unavailable,
)
from ragkit.nouns import CacheTtl, Prompt, Usage

NOTHING_BILLED = Usage()
LONGEST_QUOTE = 200
SECONDS: dict[CacheTtl, int] = {"5m": 300, "30m": 1800, "1h": 3600, "12h": 43200}

SPEND_CODES = ("spend_limit", "insufficient_quota", "billing")
TOO_LONG = ("prompt is too long", "context_length_exceeded", "maximum context length", "exceeds the maximum")
"""How providers say that a prompt does not fit, in a code or in the message."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is an error; `message`, `code` and `kind` are the provider's own.

    `native` tells that it came in the provider's own format, `begun` that it broke off an answer.
    """

    provider: str
    model: str
    status: int
    message: str = ""
    code: str = ""
    kind: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    native: bool = True
    begun: bool = False

    @property
    def usage(self) -> Usage | None:
        """A provider that answers with an error bills nothing; a proxy's page tells nothing of what lies behind it."""
        return NOTHING_BILLED if not self.begun and (self.native or self.status < 500) else None


def error_of(failure: Failure) -> ProviderError:
    """The failure as one of our errors, in one sentence that says what to change."""
    kind, sentence = _judge(failure)
    error = kind(sentence, usage=failure.usage, request_id=failure.request_id)
    if isinstance(error, RateLimited | Unavailable):
        error.retry_after = retry_after(failure.headers)
    return error


def _judge(failure: Failure) -> tuple[type[ProviderError], str]:
    name, model, said = failure.provider, failure.model, quoted(failure.message)
    marks = f"{failure.code} {failure.kind}".lower()
    match failure.status:
        case 402:
            return SpendLimitReached, f"{name} wants money first: pay its bill or raise its spend limit{said}"
        case 429 | 403 | 400 if any(code in marks for code in SPEND_CODES):
            return SpendLimitReached, f"{name} has reached a spend limit: raise it in its console or wait for its reset"
        case 429:
            return RateLimited, f"{name} limits the rate of calls: wait, or ask it for a higher limit"
        case 401:
            return AuthFailed, f"{name} does not accept the key: set another one as api_key in [providers.{name}]"
        case 403:
            return AuthFailed, f"{name} does not let this key use '{model}': allow it there or choose another model"
        case 404:
            return BadRequest, f"{name} has no model '{model}', perhaps it is retired: choose one from `ragkit prices`"
        case 413:
            return ContextTooLong, f"the prompt is too large for '{model}': lower retrieval.k or select.token_budget"
        case 400 | 422 if any(phrase in f"{marks} {failure.message.lower()}" for phrase in TOO_LONG):
            return ContextTooLong, f"the prompt is too long for '{model}': lower select.token_budget{said}"
        case 408 | 409 | 425:
            return Unavailable, f"{name} could not take the call (HTTP {failure.status}){said}"
        case status if status >= 500:
            return Unavailable, f"{name} is overloaded or broken (HTTP {status}){said}"
        case status:
            return BadRequest, f"{name} refuses the request to '{model}' (HTTP {status}){said}"


def unreachable(provider: str, reason: str, *, sent: bool) -> Unavailable:
    """No answer; what was sent may have been billed."""
    if sent:
        return Unavailable(f"{provider} did not answer ({reason}): try later")
    advice = f"check the network and base_url in [providers.{provider}]"
    return Unavailable(f"{provider} cannot be reached ({reason}): {advice}", usage=NOTHING_BILLED, sent=False)


def malformed(provider: str, what: str, request_id: str | None = None) -> Unavailable:
    """An answer that cannot be read, billed for nobody knows what."""
    return Unavailable(f"{provider} sent {what}", request_id=request_id)


def unbilled(provider: str, what: str, request_id: str | None = None) -> ProviderError:
    """An answer without a bill is worthless here, and asking again would buy another one."""
    return ProviderError(
        f"{provider} answered {what}, so that the answer has no price: let it report usage", request_id=request_id
    )


def quoted(message: str) -> str:
    """The provider's own words, as the end of a sentence."""
    words = " ".join(message.split())
    return f': it says "{words[:LONGEST_QUOTE]}"' if words else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as told in the headers, by number or by date; nonsense counts as nothing said."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after")
    seconds = _number(told)
    return _until(told, headers.get("date")) if seconds is None and told else seconds


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(told: str, served: str | None) -> float | None:
    """A date counts from the server's own clock, which is the one that it was made with."""
    try:
        until = parsedate_to_datetime(told)
        begin = parsedate_to_datetime(served) if served else datetime.now(until.tzinfo)
        return max(0.0, (until - begin).total_seconds())
    except (ValueError, TypeError):
        return None


def count(payload: Mapping[str, Any], *path: str) -> int:
    """A number of tokens, 0 where it is missing or null; anything else than a count is an error."""
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"'{'.'.join(path)}' is {value!r}")
    return value


def rest(total: int, *parts: int) -> int:
    """What remains of a total when its parts are taken out; parts above the total are an error."""
    left = total - sum(parts)
    if left < 0:
        raise ValueError(f"parts {parts} exceed the total {total}")
    return left


def read_object(text: str) -> dict[str, Any]:
    """A JSON object, or `ValueError`."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def nearest_ttl(wanted: CacheTtl | None, offered: Sequence[CacheTtl]) -> CacheTtl:
    """The longest lifetime on offer within the wanted one, else the shortest; `offered` is sorted."""
    within = [ttl for ttl in offered if SECONDS[ttl] <= SECONDS[wanted or "5m"]]
    return within[-1] if within else offered[0]


def asked(prompt: Prompt) -> tuple[str, ...]:
    """The texts of the asking turn; providers refuse empty ones."""
    return tuple(text for text in (prompt.evidence, prompt.question) if text)
