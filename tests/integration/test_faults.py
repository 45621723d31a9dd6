"""Sixty ways to go wrong, by every protocol: the right outcome, in time, and every attempt on the record.

The real SDKs and the whole generation stage against the twin, which keeps an invoice of its own. The protocols of a
script run side by side. Scripts that wait for timeouts are marked slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from ragkit.calls.attempt import Attempt, Policy
from ragkit.calls.retry import Retrying
from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    InvalidAnswer,
    ProviderError,
    RagkitError,
    RateLimited,
    Refused,
    SpendLimitReached,
    Unavailable,
)
from ragkit.generate import Generation
from ragkit.nouns import Chunk, Model, Request, Route, Usage
from ragkit.prompt import render
from ragkit.provider import Provider
from ragkit.providers.registry import open_provider
from ragkit.settings import ProvidersSettings
from ragkit.structured import answer_schema
from ragkit_eval.twin import Fault, Line, RunningTwin, start_twin

MODELS = {
    "anthropic": "claude-haiku-5-5",
    "openai": "gpt-6-luna",
    "openai-chat": "gpt-6-luna",
    "gemini": "gemini-3.8-flash",
    "vllm": "twin-local",
}
TWIN = {"openai-chat": "openai"}
PATHS = {"openai": "/responses", "openai-chat": "/chat/completions"}
POLICY = Policy(
    attempts=2, deadline=5.0, timeout=1.5, idle=1.0, drain=0.5, backoff=0.005, breaker_failures=99, retry_reserve=9
)
ALLOWANCE = 1.0
TEXT = "The warranty of the blue pump lasts seven years. It starts with the day of delivery."
CHUNK = Chunk("c1", "d1", "guide.md", TEXT, 0, len(TEXT), 0, 20)


@dataclass(frozen=True, slots=True)
class Script:
    """Faults, the way to call, and what must come of it: a result, or one of these errors, after so many requests."""

    name: str
    faults: tuple[Fault, ...]
    outcome: tuple[type[RagkitError], ...] = ()
    requests: int = 1
    streamed: bool = False
    slow: bool = False
    but: tuple[tuple[str, tuple[type[RagkitError], ...], int], ...] = ()
    """Protocols that differ."""
    patient: bool = False
    """Takes long on a busy machine without being late by design."""

    def expected(self, protocol: str) -> tuple[tuple[type[RagkitError], ...], int]:
        own = {name: (outcome, requests) for name, outcome, requests in self.but}
        return own.get(protocol, (self.outcome, self.requests))


OPTIONS = ("streamed", "slow", "but", "patient")


def always(kind: str, *outcome: type[RagkitError], requests: int = 1, **more: Any) -> Script:
    options = {name: more.pop(name) for name in OPTIONS if name in more}
    detail = "".join(f"-{name}={value}" for name, value in more.items())
    way = "-streamed" if options.get("streamed") else ""
    return Script(f"{kind}{detail}{way}", (Fault(kind, **more),), outcome, requests, **options)


def once(kind: str, requests: int = 2, **more: Any) -> Script:
    options = {name: more.pop(name) for name in OPTIONS if name in more}
    detail = "".join(f"-{name}={value}" for name, value in more.items())
    way = "-streamed" if options.get("streamed") else ""
    return Script(f"once-{kind}{detail}{way}", (Fault(kind, nth=(1,), **more),), (), requests, **options)


def first_then(*kinds: str, outcome: tuple[type[RagkitError], ...] = (), requests: int, slow: bool = False) -> Script:
    faults = tuple(Fault(kind, nth=(number,)) for number, kind in enumerate(kinds, start=1))
    return Script("-then-".join(kinds), faults, outcome, requests, slow=slow)


WITHOUT_SPEND_LIMITS = (("gemini", (RateLimited,), 2), ("vllm", (RateLimited,), 2))
BUSY = ("timeout_error", "conflict", "server_error", "bad_gateway", "unavailable", "gateway_timeout", "overloaded")
SCRIPTS = (
    always("bad_request", BadRequest),
    always("context_too_long", ContextTooLong),
    always("auth", AuthFailed),
    always("billing", SpendLimitReached),
    always("permission", AuthFailed),
    always("not_found", BadRequest),
    always("too_large", ContextTooLong),
    always("spend_limit", SpendLimitReached, but=WITHOUT_SPEND_LIMITS),
    always("spend_limit", SpendLimitReached, streamed=True, but=WITHOUT_SPEND_LIMITS),
    always("rate_limit", RateLimited, requests=2),
    always("rate_limit", RateLimited, requests=2, streamed=True),
    *(always(kind, Unavailable, requests=2) for kind in BUSY),
    *(once(kind) for kind in ("rate_limit", *BUSY)),
    once("rate_limit", retry_after="0"),
    once("rate_limit", retry_after="0.1"),
    once("rate_limit", retry_after="-5"),
    once("rate_limit", retry_after="nan"),
    once("rate_limit", retry_after="Mon, 01 Jan 2001 00:00:00 GMT"),
    always("rate_limit", RateLimited, retry_after="3600"),
    always("overloaded", Unavailable, retry_after="3600"),
    always("html_error", Unavailable, requests=2),
    always("html_error", Unavailable, requests=2, status=504),
    once("html_error", status=503),
    always("reset", Unavailable, requests=2),
    once("reset"),
    once("reset", streamed=True),
    always("timeout", Unavailable, requests=2, slow=True),
    always("timeout", Unavailable, requests=2, billed=True, slow=True),
    once("timeout", slow=True),
    always("timeout", Unavailable, requests=2, streamed=True, slow=True),
    always("heartbeat", Unavailable, requests=2, slow=True),
    always("heartbeat", Unavailable, requests=2, streamed=True, slow=True),
    always("slow_first_token", requests=1, seconds=0.05),
    always("slow_first_token", Unavailable, requests=2, seconds=9.0, slow=True),
    once("slow_first_token", seconds=9.0, streamed=True, slow=True),
    always("slow_tokens", requests=1, seconds=0.001, streamed=True),
    always("slow_tokens", Unavailable, seconds=0.2, streamed=True, slow=True, but=(("gemini", (Unavailable,), 2),)),
    always("cut_stream", Unavailable, requests=2),
    always("cut_stream", Unavailable, requests=1, streamed=True),
    always("cut_stream", Unavailable, requests=2, after=0, streamed=True),
    once("cut_stream", after=0, streamed=True),
    always("cut_stream", Unavailable, requests=2, after_bytes=7, streamed=True),
    always("stream_error", Unavailable, requests=2, after=0, streamed=True),
    always("stream_error", Unavailable, requests=1, streamed=True),
    always("split_bytes", requests=1, streamed=True, patient=True),
    always("malformed_json", Unavailable, requests=2),
    always("wrong_content_type", requests=1),
    always("wrong_content_type", requests=1, streamed=True),
    always("missing_usage", ProviderError, requests=1),
    always("missing_usage", ProviderError, requests=1, streamed=True),
    always("schema_break", InvalidAnswer, requests=2),
    once("schema_break"),
    always("invented_quote", requests=1),
    always("refusal", Refused, requests=1),
    always("refusal", Refused, requests=1, streamed=True),
    always("empty", InvalidAnswer, requests=2),
    always("length", InvalidAnswer, requests=1),
    always("length", InvalidAnswer, requests=1, streamed=True),
    first_then("rate_limit", "auth", outcome=(AuthFailed,), requests=2),
    first_then("overloaded", "schema_break", "overloaded", requests=4),
    first_then("schema_break", "refusal", outcome=(Refused,), requests=2),
)


@pytest.fixture(scope="module")
def twin() -> Iterator[RunningTwin]:
    with start_twin() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(twin: RunningTwin) -> AsyncIterator[dict[str, Provider]]:
    """Made once: making an SDK's client takes its time."""
    made = {name: open_provider(name, settings(name, twin)) for name in MODELS}
    for name, provider in made.items():
        for streamed in (False, True):
            await run(provider, name, Script("warm", (), streamed=streamed), Policy())
    yield made
    for provider in made.values():
        await provider.aclose()


def settings(name: str, twin: RunningTwin) -> ProvidersSettings:
    protocol = TWIN.get(name, name)
    where = {"api_key": f"sk-{name}", "base_url": twin.base_url(protocol)}
    return ProvidersSettings.model_validate({protocol: where})


@dataclass(slots=True)
class Run:
    """What came of a script by one protocol."""

    outcome: type[RagkitError] | None
    attempts: list[Attempt]
    seconds: float


async def run(provider: Provider, name: str, script: Script, policy: Policy = POLICY) -> Run:
    model = Model(MODELS[name], name, "small", effort="none")
    request = Request(render("How long is the warranty?", [CHUNK]), model, answer_schema().schema, 800)
    attempts: list[Attempt] = []
    generation = Generation({name: provider}, Retrying(policy))
    loop = asyncio.get_running_loop()
    began, outcome = loop.time(), None
    try:
        await generation.run(
            request,
            Route(model, 0.1, "script"),
            validate=lambda completion: answer_schema().parse(completion.text),
            record=attempts.append,
            on_text=(lambda text: None) if script.streamed else None,
        )
    except RagkitError as error:
        outcome = type(error)
    return Run(outcome, attempts, loop.time() - began)


def usage_of(line: Line) -> Usage:
    """A line of the invoice in our classes."""
    names = {kind: f"cache_{kind}" for kind in ("read", "write_5m", "write_30m", "write_1h", "write_12h")}
    counts = {names.get(kind, kind): amount for kind, amount in line.usage.items()}
    return Usage(**counts, reasoning=line.detail.get("thinking", 0))


def is_of(name: str, protocol: str, path: str) -> bool:
    return protocol == TWIN.get(name, name) and path.endswith(PATHS.get(name, ""))


def known(attempts: list[Attempt]) -> Usage:
    """What is certain about the bill."""
    sure = [attempt.usage for attempt in attempts if attempt.usage is not None and not attempt.estimated]
    return sum(sure, Usage())


def check(script: Script, name: str, outcome: Run, twin: RunningTwin) -> None:
    """The right type, in time, as many requests as allowed, each on the record, and no difference where it is known."""
    errors, requests = script.expected(name)
    assert outcome.outcome in (errors or (None,)), f"{name}: {outcome}"
    assert outcome.seconds <= POLICY.deadline + ALLOWANCE, f"{name}: {outcome.seconds:.2f} s"
    seen = [each for each in twin.requests if is_of(name, each.protocol, each.path)]
    assert len(outcome.attempts) == len(seen) == requests, f"{name}: {outcome}"
    ids = {each.request_id for each in seen}
    billed = sum((usage_of(line) for line in twin.invoice.lines if line.id in ids), Usage())
    if all(attempt.usage is not None and not attempt.estimated for attempt in outcome.attempts):
        assert known(outcome.attempts) == billed, f"{name}: {outcome}"
    else:
        surplus = [getattr(billed, field) - getattr(known(outcome.attempts), field) for field in Usage.__slots__]
        assert min(surplus) >= 0, f"{name}: {outcome}, billed {billed}"


def cases() -> list[Any]:
    slow = pytest.mark.slow
    return [pytest.param(script, id=script.name, marks=[slow] if script.slow else []) for script in SCRIPTS]


def test_there_are_sixty_scripts_and_none_is_there_twice() -> None:
    assert len({script.name for script in SCRIPTS}) == len(SCRIPTS) >= 60


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", cases())
async def test_a_script_has_its_outcome(script: Script, twin: RunningTwin, providers: dict[str, Provider]) -> None:
    twin.reset()
    twin.faults.set(
        [
            replace(fault, protocol=TWIN.get(name, name), path=PATHS.get(name))
            for name in providers
            for fault in script.faults
        ]
    )
    policy = replace(POLICY, timeout=POLICY.deadline, idle=POLICY.deadline) if script.patient else POLICY
    runs = await asyncio.gather(*(run(provider, name, script, policy) for name, provider in providers.items()))
    await quiet(twin)
    for name, outcome in zip(providers, runs, strict=True):
        check(script, name, outcome, twin)


async def quiet(twin: RunningTwin) -> None:
    """The twin posts what a cut connection owes when it notices that nobody reads."""
    before = -1
    while before != (now := len(twin.invoice.lines)):
        before = now
        await asyncio.sleep(0.02)
