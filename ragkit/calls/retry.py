"""Trying again: one deadline, a budget of retries and a breaker per provider, and a record of every attempt.

It knows nothing of prompts: generators, embedders and rerankers are all called through it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ragkit.calls.attempt import Attempt, Call, Meter, Policy, Record
from ragkit.calls.breaker import Gate
from ragkit.errors import BudgetExceeded, ContextTooLong, ProviderError, RagkitError, RateLimited, Unavailable
from ragkit.nouns import Usage

T = TypeVar("T")

RETRIED = (RateLimited, Unavailable)
PASSED_ON = (*RETRIED, ContextTooLong, BudgetExceeded)
"""Errors after which another model may do. All others are final: they would come again, or somebody has to act."""
STOPPING_SECONDS = 0.5
PATIENT_CALLS = 8
"""Calls at once that may all be limited from the start, where nobody waits."""


@dataclass(slots=True)
class _Round:
    """The state of one logical call."""

    record: Record
    until: float
    number: int = 0
    reason: str = ""
    seen: set[str] = field(default_factory=set)
    committed: bool = False


class Retrying:
    """Makes calls until one succeeds or nothing more may be tried. Holds the gates of all providers."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy or Policy()
        self.clock = clock
        self._sleep = sleep
        self._chance = chance
        self._gates: dict[str, Gate] = {}

    def patient(self, attempts: int) -> Retrying:
        """A wrapper for work that can wait: every call may be tried so often. It has gates of its own."""
        attempts = max(attempts, self.policy.attempts)
        policy = replace(self.policy, attempts=attempts, retry_share=attempts, retry_reserve=attempts * PATIENT_CALLS)
        return Retrying(policy, clock=self.clock, sleep=self._sleep, chance=self._chance)

    def gate(self, provider: str) -> Gate:
        """The provider's gate: its breaker's state and what is left of its retries."""
        policy = self.policy
        if provider not in self._gates:
            self._gates[provider] = Gate(
                self.clock, policy.breaker_failures, policy.breaker_pause, policy.retry_share, policy.retry_reserve
            )
        return self._gates[provider]

    async def run(self, calls: Sequence[Call[T]], record: Record, *, until: float | None = None, reason: str = "") -> T:
        """The result of the first call that succeeds; later ones are fallbacks. `until` is a time of the clock.

        Raises the `ProviderError` of the last attempt, or what `Call.before` raised where nothing was sent: where a
        cheaper call may do, the next one is tried. Every attempt has been recorded before this returns or raises, also
        when it is cancelled.
        """
        round_ = _Round(record, self.clock() + self.policy.deadline if until is None else until, reason=reason)
        last: RagkitError | None = None
        for place, call in enumerate(calls, start=1):
            if last is not None:
                round_.reason = f"instead of {calls[place - 2].model}: {type(last).__name__}"
            try:
                return await self._run_one(call, round_, last=place == len(calls))
            except PASSED_ON as error:
                if round_.committed or (isinstance(error, BudgetExceeded) and not error.cheaper):
                    raise
                last = error if last is None or (isinstance(error, ProviderError) and error.sent) else last
        if last is None:
            raise ValueError("there is nothing to call")
        raise last

    async def _run_one(self, call: Call[T], round_: _Round, *, last: bool) -> T:
        """Attempts with one model."""
        self._enter(call, round_)
        for tries in range(1, self.policy.attempts + 1):
            if call.before is not None:
                await call.before()
            self._admit(call, round_)
            try:
                return await self._attempt(call, round_)
            except RETRIED as error:
                if tries == self.policy.attempts or round_.committed:
                    raise
                delay = self._delay(error, tries)
                left = round_.until - self.clock()
                if delay >= (left if last else min(left, self.policy.longest_backoff)):
                    raise
                if not self.gate(call.provider).may_retry():
                    raise
                round_.reason = f"again after {type(error).__name__}"
                await self._sleep(delay)
        raise AssertionError("unreachable: attempts is at least 1")

    def _delay(self, error: RateLimited | Unavailable, tries: int) -> float:
        """As the provider says, else at random up to a limit that doubles."""
        if error.retry_after is not None:
            return error.retry_after
        longest: float = min(self.policy.longest_backoff, self.policy.backoff * 2**tries)
        return self._chance() * longest

    def _enter(self, call: Call[Any], round_: _Round) -> None:
        """The first call to a provider adds to its budget of retries, another model of it takes one."""
        gate = self.gate(call.provider)
        if call.provider not in round_.seen:
            round_.seen.add(call.provider)
            gate.count_call()
        elif not gate.may_retry():
            raise _not_sent(f"{call.provider} was not asked again: its budget of retries is used up, try later")

    def _admit(self, call: Call[Any], round_: _Round) -> None:
        """Raises where a call may not go out; then nothing was sent and nothing is recorded."""
        gate, name = self.gate(call.provider), call.provider
        if round_.until <= self.clock():
            raise _not_sent(f"{name} was not asked: the deadline is used up, try later or raise retry.deadline")
        if not gate.admit():
            raise _not_sent(
                f"{name} is left alone for {gate.pause_left:.0f} s after {gate.failures} failures in a row: try later"
            )

    async def _attempt(self, call: Call[T], round_: _Round) -> T:
        """One call, recorded whatever happens to it."""
        gate, meter = self.gate(call.provider), Meter(lane=call.lane)
        began, outcome = self.clock(), "ok"
        round_.number += 1
        try:
            result = await self._finish(call, meter, min(self.policy.timeout, round_.until - began))
            gate.succeed()
            return result
        except BaseException as error:
            outcome = "cancelled" if isinstance(error, asyncio.CancelledError) else type(error).__name__
            _learn(meter, error)
            if isinstance(error, Unavailable):
                gate.fail()
            raise
        finally:
            gate.release()
            round_.committed = meter.committed
            round_.record(
                Attempt(
                    kind=call.kind,
                    provider=call.provider,
                    model=call.model,
                    usage=meter.usage,
                    seconds=self.clock() - began,
                    number=round_.number,
                    reason=round_.reason,
                    outcome=outcome,
                    lane=meter.lane,
                    estimated=meter.estimated,
                    request_id=meter.request_id,
                    reported_pico=meter.reported_pico,
                    simulated=meter.simulated,
                )
            )

    async def _finish(self, call: Call[T], meter: Meter, seconds: float) -> T:
        """The call's result within its time; if the caller leaves, the call may still run on for a while."""
        task = asyncio.ensure_future(call.run(meter, seconds))
        try:
            await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            meter.abandoned = True
            try:
                await asyncio.wait({task}, timeout=self.policy.drain)
            finally:
                await _stop(task)
                _learn(meter, _failure(task))
            raise
        await _stop(task)
        if not task.done() or task.cancelled():
            raise Unavailable(
                f"{call.provider} did not answer within {seconds:.3g} s: try later or raise retry.timeout"
            )
        return task.result()


async def _stop(task: asyncio.Future[Any]) -> None:
    """End a task that has not ended by itself, without waiting long for its good will."""
    if not task.done():
        task.cancel()
        task.add_done_callback(_failure)
        await asyncio.wait({task}, timeout=STOPPING_SECONDS)


def _failure(task: asyncio.Future[Any]) -> BaseException | None:
    """How the task failed, if it did; asking also tells asyncio that somebody has seen it."""
    return task.exception() if task.done() and not task.cancelled() else None


def _learn(meter: Meter, error: BaseException | None) -> None:
    """What a failure tells about the cost is better than an estimate."""
    if isinstance(error, ProviderError):
        meter.request_id = error.request_id or meter.request_id
        if error.usage is not None:
            meter.usage, meter.estimated = error.usage, False


def _not_sent(message: str) -> Unavailable:
    return Unavailable(message, usage=Usage(), sent=False)
