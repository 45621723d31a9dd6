from __future__ import annotations

import pytest

from ragkit.calls.breaker import Gate


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_opens_after_failures_in_a_row_and_only_then(clock: Clock) -> None:
    gate = Gate(clock, failures=3)
    for _ in range(2):
        gate.fail()
    gate.succeed()
    for _ in range(2):
        gate.fail()
    assert (gate.state, gate.failures, gate.admit()) == ("closed", 2, True)
    gate.fail()
    assert (gate.state, gate.pause_left, gate.admit()) == ("open", 30.0, False)


def test_lets_one_probe_through_after_the_pause(clock: Clock) -> None:
    gate = Gate(clock, failures=1, pause=30)
    gate.fail()
    clock.now = 30
    assert gate.admit()
    assert gate.state == "probing"
    assert not gate.admit()


def test_a_probe_that_works_closes_it(clock: Clock) -> None:
    gate = Gate(clock, failures=1, pause=30)
    gate.fail()
    clock.now = 30
    assert gate.admit()
    gate.succeed()
    assert (gate.state, gate.failures, gate.pause_left) == ("closed", 0, 0.0)


def test_a_probe_that_fails_begins_another_pause(clock: Clock) -> None:
    gate = Gate(clock, failures=1, pause=30)
    gate.fail()
    clock.now = 40
    assert gate.admit()
    gate.fail()
    assert (gate.state, gate.pause_left) == ("open", 30.0)


def test_a_probe_that_tells_nothing_leaves_room_for_the_next(clock: Clock) -> None:
    gate = Gate(clock, failures=1, pause=30)
    gate.fail()
    clock.now = 30
    assert gate.admit()
    gate.release()
    assert gate.state == "open"
    assert gate.admit()


def test_late_failures_of_calls_from_before_do_not_prolong_the_pause(clock: Clock) -> None:
    gate = Gate(clock, failures=1, pause=30)
    gate.fail()
    clock.now = 20
    gate.fail()
    assert gate.pause_left == 10


def test_retries_stay_below_the_share_of_calls_and_the_reserve(clock: Clock) -> None:
    gate = Gate(clock, share=0.2, reserve=3)
    retries = 0
    for _ in range(3000):
        clock.now += 0.02
        gate.count_call()
        retries += gate.may_retry()
    assert 590 <= retries <= 0.2 * 3000 + 3


def test_a_quiet_minute_fills_the_reserve_up(clock: Clock) -> None:
    gate = Gate(clock, reserve=3)
    assert [gate.may_retry() for _ in range(4)] == [True, True, True, False]
    clock.now = 59
    assert not gate.may_retry()
    clock.now = 60
    assert gate.retries_left == 3
    assert gate.may_retry()
    assert gate.retries_left == 2


def test_calls_save_up_only_so_many_retries(clock: Clock) -> None:
    gate = Gate(clock)
    for _ in range(1000):
        gate.count_call()
    assert gate.retries_left == 10
