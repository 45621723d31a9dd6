"""Rate limits per minute, counted on the twin's clock, with the headers that tell how much is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ragkit_eval.twin.exchange import Call, Rejection, account_of
from ragkit_eval.twin.world import Options

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Window:
    """What an account has used of a model in one minute."""

    start: datetime
    requests: int = 0
    tokens: int = 0


def spend(call: Call, model: str, tokens: int) -> Window:
    """Count a request and its input, cached reads left out where they do not count; raises when over the limit."""
    world, options = call.world, call.world.options
    now = world.clock.now()
    start = now.replace(second=0, microsecond=0)
    name = f"{call.protocol.name} {account_of(call)} {model}"
    window: Window = world.rates.get(name) or Window(start)
    if window.start != start:
        window = Window(start)
    world.rates[name] = window
    over = window.requests + 1 > options.requests_per_minute
    if over or window.tokens + tokens > options.input_tokens_per_minute:
        wait = -(-(start + MINUTE - now) // timedelta(seconds=1))
        raise Rejection("rate_limit", "This request would exceed your rate limit", headers={"retry-after": str(wait)})
    window.requests += 1
    window.tokens += tokens
    return window


def anthropic_headers(window: Window, options: Options) -> dict[str, str]:
    """Limit, what remains and when it is reset, for each thing that is limited."""
    rows = {
        "requests": (options.requests_per_minute, window.requests),
        "input-tokens": (options.input_tokens_per_minute, window.tokens),
        "output-tokens": (options.output_tokens_per_minute, 0),
        "tokens": (options.input_tokens_per_minute + options.output_tokens_per_minute, window.tokens),
    }
    headers = {"anthropic-organization-id": "org_twin"}
    for name, (limit, used) in rows.items():
        headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{name}-remaining"] = str(limit - used)
        headers[f"anthropic-ratelimit-{name}-reset"] = (window.start + MINUTE).isoformat().replace("+00:00", "Z")
    return headers


def openai_headers(window: Window, options: Options, now: datetime) -> dict[str, str]:
    """The same in OpenAI's names; a reset is told as a duration."""
    left = f"{(window.start + MINUTE - now).total_seconds():g}s"
    return {
        "x-ratelimit-limit-requests": str(options.requests_per_minute),
        "x-ratelimit-remaining-requests": str(options.requests_per_minute - window.requests),
        "x-ratelimit-reset-requests": left,
        "x-ratelimit-limit-tokens": str(options.input_tokens_per_minute),
        "x-ratelimit-remaining-tokens": str(options.input_tokens_per_minute - window.tokens),
        "x-ratelimit-reset-tokens": left,
    }
