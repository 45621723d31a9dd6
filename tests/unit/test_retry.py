"""The retry wrapper with a clock that sleeping turns, and calls that fail as a script says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from ragkit.calls.attempt import Attempt, Call, Meter, Policy
from ragkit.calls.retry import Retrying
from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    ProviderError,
    RateLimited,
    Refused,
    SpendLimitReached,
    Unavailable,
)
from ragkit.nouns import Usage

BILLED = Usage(input=10, output=5)
NOTHING = Usage()


class World:
    """Time that only sleeping and slow calls move, and what was recorded."""

    def __init__(self, policy: Policy | None = None, chance: float = 1.0) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.attempts: list[Attempt] = []
        self.retrying = Retrying(policy, clock=lambda: self.now, sleep=self.sleep, chance=lambda: chance)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def call(
        self, *outcomes: ProviderError | str, model: str = "m", provider: str = "p", seconds: float = 0
    ) -> Call[str]:
        """A call that ends as the script says, once after the other, the last one for ever."""
        script = list(outcomes)

        async def run(meter: Meter, within: float) -> str:
            self.now += seconds
            outcome = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(outcome, ProviderError):
                raise outcome
            meter.usage = BILLED
            return outcome

        return Call(provider, model, run)

    async def run(self, *calls: Call[str], until: float | None = None) -> str:
        return await self.retrying.run(calls, self.attempts.append, until=until)

    def outcomes(self) -> list[tuple[str, str]]:
        return [(attempt.model, attempt.outcome) for attempt in self.attempts]


def busy(retry_after: float | None = None) -> RateLimited:
    error = RateLimited("slow down", usage=NOTHING)
    error.retry_after = retry_after
    return error


def down() -> Unavailable:
    return Unavailable("down", usage=NOTHING)


async def test_success_is_one_attempt() -> None:
    world = World()
    assert await world.run(world.call("yes")) == "yes"
    assert world.attempts == [Attempt("generate", "p", "m", BILLED, seconds=0, number=1, reason="", outcome="ok")]


async def test_retries_are_numbered_and_say_why() -> None:
    world = World(Policy(attempts=3))
    assert await world.run(world.call(down(), busy(), "yes")) == "yes"
    assert [(a.number, a.outcome, a.reason, a.usage) for a in world.attempts] == [
        (1, "Unavailable", "", NOTHING),
        (2, "RateLimited", "again after Unavailable", NOTHING),
        (3, "ok", "again after RateLimited", BILLED),
    ]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_never_more_attempts_than_configured(attempts: int) -> None:
    world = World(Policy(attempts=attempts))
    with pytest.raises(Unavailable, match="down"):
        await world.run(world.call(down()))
    assert len(world.attempts) == attempts


@pytest.mark.parametrize("kind", [AuthFailed, SpendLimitReached, BadRequest, Refused, ProviderError])
async def test_final_errors_are_neither_retried_nor_passed_on(kind: type[ProviderError]) -> None:
    world = World()
    with pytest.raises(kind):
        await world.run(world.call(kind("no")), world.call("yes", model="other", provider="q"))
    assert world.outcomes() == [("m", kind.__name__)]


async def test_backoff_doubles_up_to_its_limit_with_full_jitter() -> None:
    policy = Policy(attempts=5, backoff=1, longest_backoff=5, deadline=1000, retry_reserve=9)
    for chance, slept in ((1.0, [2, 4, 5, 5]), (0.25, [0.5, 1, 1.25, 1.25]), (0.0, [0, 0, 0, 0])):
        world = World(policy, chance)
        with pytest.raises(Unavailable):
            await world.run(world.call(down()))
        assert world.slept == slept


@pytest.mark.parametrize("seconds", [0.0, 2.0, 100.0])
async def test_retry_after_is_obeyed_within_the_deadline(seconds: float) -> None:
    world = World(Policy(deadline=120))
    assert await world.run(world.call(busy(seconds), "yes")) == "yes"
    assert world.slept == [seconds]


async def test_retry_after_beyond_the_deadline_fails_at_once() -> None:
    world = World(Policy(deadline=120))
    with pytest.raises(RateLimited):
        await world.run(world.call(busy(3600), "yes"))
    assert world.slept == []
    assert len(world.attempts) == 1


async def test_a_long_retry_after_goes_to_the_fallback_instead() -> None:
    world = World()
    assert await world.run(world.call(busy(20)), world.call("yes", model="other", provider="q")) == "yes"
    assert world.slept == []
    assert [(a.model, a.reason) for a in world.attempts] == [("m", ""), ("other", "instead of m: RateLimited")]
    assert [a.number for a in world.attempts] == [1, 2]


async def test_the_fallback_is_asked_when_attempts_are_used_up() -> None:
    world = World()
    assert await world.run(world.call(down()), world.call("yes", model="other", provider="q")) == "yes"
    assert world.outcomes() == [("m", "Unavailable"), ("m", "Unavailable"), ("other", "ok")]


async def test_a_prompt_that_is_too_long_is_passed_on_without_a_retry() -> None:
    world = World()
    assert await world.run(world.call(ContextTooLong("long", usage=NOTHING)), world.call("yes", model="big")) == "yes"
    assert world.outcomes() == [("m", "ContextTooLong"), ("big", "ok")]


async def test_the_last_error_that_was_sent_is_the_one_raised() -> None:
    world = World(Policy(breaker_failures=1, attempts=1))
    with pytest.raises(Unavailable):
        await world.run(world.call(down(), provider="broken"))
    with pytest.raises(RateLimited):
        await world.run(world.call(busy()), world.call(down(), provider="broken"))
    assert world.outcomes() == [("m", "Unavailable"), ("m", "RateLimited")]


async def test_one_deadline_covers_all_attempts_and_fallbacks() -> None:
    world = World(Policy(attempts=5, deadline=10, backoff=0, retry_reserve=9, breaker_failures=99))
    with pytest.raises(Unavailable, match="down"):
        await world.run(world.call(down(), seconds=4), world.call(down(), provider="q", seconds=4))
    assert world.now == 12
    assert len(world.attempts) == 3


async def test_a_deadline_that_has_passed_sends_nothing() -> None:
    world = World()
    world.now = 5.0
    with pytest.raises(Unavailable, match=r"raise retry\.deadline") as caught:
        await world.run(world.call("yes"), until=5.0)
    assert (caught.value.sent, caught.value.usage, world.attempts) == (False, NOTHING, [])


async def test_calls_get_what_is_left_of_the_deadline() -> None:
    given: list[float] = []

    async def run(meter: Meter, seconds: float) -> str:
        given.append(seconds)
        raise busy(70)

    world = World(Policy(deadline=100, timeout=60))
    with pytest.raises(RateLimited):
        await world.run(Call("p", "m", run))
    assert given == [60, 30]


async def test_the_retry_budget_bounds_an_outage() -> None:
    world = World(Policy(attempts=3, breaker_failures=10**9, backoff=0))
    for _ in range(200):
        with pytest.raises(Unavailable):
            await world.run(world.call(down()))
    assert len(world.attempts) <= 1.2 * 200 + 3


async def test_other_models_of_the_same_provider_are_paid_from_its_budget() -> None:
    world = World(Policy(attempts=1, retry_reserve=1, breaker_failures=99))
    outage = (world.call(down()), world.call(down(), model="m2"))
    with pytest.raises(Unavailable):
        await world.run(*outage)
    with pytest.raises(Unavailable):
        await world.run(*outage)
    assert [model for model, _ in world.outcomes()] == ["m", "m2", "m"]


async def test_an_open_breaker_sends_nothing_and_the_fallback_answers() -> None:
    world = World(Policy(attempts=1, breaker_failures=2))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.run(world.call(down()))
    assert world.retrying.gate("p").state == "open"
    with pytest.raises(Unavailable, match="p is left alone for 30 s after 2 failures in a row: try later"):
        await world.run(world.call("yes"))
    assert await world.run(world.call("yes"), world.call("fallback", provider="q")) == "fallback"
    world.now += 30
    assert await world.run(world.call("yes")) == "yes"
    assert world.retrying.gate("p").state == "closed"


async def test_errors_of_the_caller_do_not_open_the_breaker() -> None:
    world = World(Policy(attempts=1, breaker_failures=1))
    for error in (BadRequest("no"), RateLimited("no"), AuthFailed("no")):
        with pytest.raises(ProviderError):
            await world.run(world.call(error))
    assert world.retrying.gate("p").state == "closed"


async def test_what_the_caller_has_seen_is_not_asked_for_again() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        meter.committed, meter.usage, meter.estimated = True, Usage(input=10, output=2), True
        raise Unavailable("cut")

    world = World()
    with pytest.raises(Unavailable, match="cut"):
        await world.run(Call("p", "m", run), world.call("yes", provider="q"))
    (attempt,) = world.attempts
    assert (attempt.usage, attempt.estimated) == (Usage(input=10, output=2), True)


async def test_an_error_that_knows_its_bill_beats_the_estimate() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        meter.usage, meter.estimated = Usage(input=10, output=2), True
        raise Unavailable("cut", usage=BILLED, request_id="r1")

    world = World(Policy(attempts=1))
    with pytest.raises(Unavailable):
        await world.run(Call("p", "m", run))
    (attempt,) = world.attempts
    assert (attempt.usage, attempt.estimated, attempt.request_id) == (BILLED, False, "r1")


async def test_a_call_that_takes_too_long_is_ended_and_its_cost_is_unknown() -> None:
    ended = asyncio.Event()

    async def run(meter: Meter, seconds: float) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    attempts: list[Attempt] = []
    retrying = Retrying(Policy(attempts=1, timeout=0.05))
    with pytest.raises(Unavailable, match=r"p did not answer within 0\.05 s: try later or raise retry\.timeout"):
        await retrying.run([Call("p", "m", run)], attempts.append)
    assert ended.is_set()
    assert [(a.outcome, a.usage) for a in attempts] == [("Unavailable", None)]


async def test_a_call_that_does_not_end_when_told_holds_nobody_up() -> None:
    release = asyncio.Event()

    async def run(meter: Meter, seconds: float) -> str:
        while not release.is_set():
            try:
                await asyncio.wait_for(release.wait(), 5)
            except asyncio.CancelledError:
                continue
        return "late"

    retrying = Retrying(Policy(attempts=1, timeout=0.05))
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await retrying.run([Call("p", "m", run)], lambda attempt: None)
    assert asyncio.get_running_loop().time() - began < 1.0
    release.set()


Running = Callable[[Meter, float], Any]


async def cancelled(run: Running, policy: Policy, cancels: Iterable[float]) -> tuple[list[Attempt], float]:
    """Start a call, cancel it after each of the pauses, and wait for its end."""
    attempts: list[Attempt] = []
    retrying = Retrying(policy)
    task = asyncio.create_task(retrying.run([Call("p", "m", run)], attempts.append))
    loop = asyncio.get_running_loop()
    for pause in cancels:
        await asyncio.sleep(pause)
        task.cancel()
    began = loop.time()
    with pytest.raises(asyncio.CancelledError):
        await task
    return attempts, loop.time() - began


async def test_a_cancelled_call_runs_on_until_its_price_is_known() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        await asyncio.sleep(0.1)
        assert meter.abandoned
        meter.usage = BILLED
        return "unheard"

    (attempt,), _ = await cancelled(run, Policy(drain=5), [0.02])
    assert (attempt.outcome, attempt.usage, attempt.estimated) == ("cancelled", BILLED, False)


async def test_a_cancelled_call_is_ended_when_it_runs_on_too_long() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        await asyncio.sleep(60)
        return "never"

    (attempt,), waited = await cancelled(run, Policy(drain=0.05), [0.02])
    assert (attempt.outcome, attempt.usage) == ("cancelled", None)
    assert waited < 1.0


async def test_a_second_cancel_does_not_wait_for_the_price() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        await asyncio.sleep(60)
        return "never"

    (attempt,), waited = await cancelled(run, Policy(drain=30), [0.02, 0.02])
    assert (attempt.outcome, attempt.usage) == ("cancelled", None)
    assert waited < 1.0


async def test_a_cancelled_call_that_then_fails_tells_its_bill() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        await asyncio.sleep(0.05)
        raise Unavailable("down", usage=NOTHING)

    (attempt,), _ = await cancelled(run, Policy(drain=5), [0.02])
    assert (attempt.outcome, attempt.usage) == ("cancelled", NOTHING)


async def test_cancelling_a_probe_leaves_the_breaker_able_to_probe() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        await asyncio.sleep(60)
        return "never"

    retrying = Retrying(Policy(breaker_failures=1, breaker_pause=0, drain=0))
    gate = retrying.gate("p")
    gate.fail()
    task = asyncio.create_task(retrying.run([Call("p", "m", run)], lambda attempt: None))
    await asyncio.sleep(0.02)
    assert not gate.admit(), "the call is the one that probes"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.admit()


async def test_a_mistake_in_a_call_is_recorded_and_raised_as_it_is() -> None:
    async def run(meter: Meter, seconds: float) -> str:
        raise ZeroDivisionError

    world = World()
    with pytest.raises(ZeroDivisionError):
        await world.run(Call("p", "m", run))
    assert world.outcomes() == [("m", "ZeroDivisionError")]


async def test_serves_embedders_and_rerankers_alike() -> None:
    world = World()
    call = replace(world.call(down(), "vectors", model="embed-v4"), kind="embed")
    assert await world.run(call) == "vectors"
    assert [(a.kind, a.outcome) for a in world.attempts] == [("embed", "Unavailable"), ("embed", "ok")]


async def test_nothing_to_call_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="nothing to call"):
        await World().run()
