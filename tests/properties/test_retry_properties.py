"""Whatever a provider does: attempts stay within bounds, each one is on the record, and an outage is not made worse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.calls.attempt import Attempt, Call, Meter, Policy
from ragkit.calls.retry import Retrying
from ragkit.errors import AuthFailed, ProviderError, RateLimited, Unavailable
from ragkit.nouns import Usage

ANSWER = Usage(input=7, output=3)


def busy(seconds: float | None) -> RateLimited:
    error = RateLimited("busy", usage=Usage())
    error.retry_after = seconds
    return error


class World:
    """A clock that sleeping and calling turn, and a count of what reached each provider."""

    def __init__(self, policy: Policy) -> None:
        self.now = 0.0
        self.reached: list[str] = []
        self.retrying = Retrying(policy, clock=lambda: self.now, sleep=self.sleep, chance=lambda: 0.5)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, provider: str, model: str, outcomes: Sequence[ProviderError | None], seconds: float) -> Call[str]:
        script = iter(outcomes)

        async def run(meter: Meter, within: float) -> str:
            self.reached.append(model)
            self.now += min(seconds, within)
            outcome = next(script, None)
            if outcome is not None:
                raise outcome
            meter.usage = ANSWER
            return model

        return Call(provider, model, run)


outcomes = st.one_of(
    st.none(),
    st.builds(busy, st.sampled_from([None, 0.0, 1.0, 30.0, 1e6])),
    st.builds(lambda: Unavailable("down", usage=Usage())),
    st.builds(lambda: Unavailable("lost")),
    st.builds(lambda: AuthFailed("key", usage=Usage())),
)
models = st.lists(
    st.tuples(st.sampled_from("pqr"), st.lists(outcomes, max_size=5), st.floats(0, 40)), min_size=1, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(models, st.integers(1, 4), st.floats(0.1, 200))
def test_attempts_are_bounded_recorded_in_order_and_in_time(
    ways: list[tuple[str, list[ProviderError | None], float]], attempts: int, deadline: float
) -> None:
    policy = Policy(attempts=attempts, deadline=deadline, timeout=40)
    world, rows = World(policy), list[Attempt]()
    calls = [world.call(name, f"{name}{place}", script, took) for place, (name, script, took) in enumerate(ways)]
    try:
        result = asyncio.run(world.retrying.run(calls, rows.append))
    except ProviderError as error:
        result = None
        assert not rows or rows[-1].outcome != "ok"
        assert error.sent or not rows or all(row.outcome != "ok" for row in rows)
    assert [row.model for row in rows] == world.reached
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert all(world.reached.count(model) <= attempts for model in world.reached)
    assert world.now <= deadline + 1e-6
    if result is not None:
        assert (rows[-1].model, rows[-1].outcome, rows[-1].usage) == (result, "ok", ANSWER)
        assert all(row.outcome in ("RateLimited", "Unavailable") for row in rows[:-1])


@pytest.mark.parametrize("failures", [5, 10**9])
def test_half_a_minute_of_outage_brings_few_calls_and_an_end(failures: int) -> None:
    """Fifty questions a second: never more than 1.2 times the incoming ones and three, and the breaker recovers."""
    world = World(Policy(attempts=3, deadline=1, backoff=0, breaker_failures=failures, breaker_pause=5))
    rows: list[Attempt] = []

    async def ask(outcome: ProviderError | None) -> bool:
        call = world.call("p", "m", [outcome] * 3, 0)
        try:
            return await world.retrying.run([call], rows.append) == "m"
        except Unavailable:
            return False

    async def half_a_minute() -> None:
        for _ in range(1500):
            world.now += 0.02
            assert not await ask(Unavailable("down", usage=Usage()))

    asyncio.run(half_a_minute())
    assert len(rows) <= (1.2 * 1500 + 3 if failures > 1500 else 5 + 30 / 5 + 3)
    world.now += 5
    assert asyncio.run(ask(None))
    assert world.retrying.gate("p").state == "closed"
