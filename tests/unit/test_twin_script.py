"""Fault scripts: who is hit, when, and always the same ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragkit_eval.twin.clock import TwinClock
from ragkit_eval.twin.faults import Fault, Faults, describe, read_fault, read_script


def kinds(faults: Faults, count: int, protocol: str = "openai", model: str = "m", path: str = "/v1/x") -> list[str]:
    return [fault.kind if (fault := faults.next(protocol, model, path)) else "-" for _ in range(count)]


def test_nth_counts_only_the_requests_that_match() -> None:
    faults = Faults([Fault("overloaded", protocol="anthropic", nth=(2,))])
    assert kinds(faults, 3) == ["-", "-", "-"]
    assert kinds(faults, 3, protocol="anthropic") == ["-", "overloaded", "-"]


def test_every_and_times() -> None:
    assert kinds(Faults([Fault("reset", every=3)]), 6) == ["-", "-", "reset", "-", "-", "reset"]
    assert kinds(Faults([Fault("reset", times=2)]), 4) == ["reset", "reset", "-", "-"]


def test_model_and_path_narrow_a_fault() -> None:
    faults = Faults([Fault("reset", model="b"), Fault("empty", path="/messages")])
    assert kinds(faults, 1, model="a") == ["-"]
    assert kinds(faults, 1, model="b") == ["reset"]
    assert kinds(faults, 1, path="/v1/messages") == ["empty"]


def test_the_first_that_applies_is_used_and_all_that_match_count() -> None:
    faults = Faults([Fault("reset", nth=(1,)), Fault("empty", nth=(2,))])
    assert kinds(faults, 3) == ["reset", "empty", "-"]


def test_a_probability_is_decided_by_the_seed() -> None:
    runs = [kinds(Faults([Fault("reset", probability=0.3)], seed=seed), 200) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 40 <= runs[0].count("reset") <= 80


def test_scripts_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml, plain = tmp_path / "script.toml", tmp_path / "script.json"
    toml.write_text('[[fault]]\nkind = "rate_limit"\nretry_after = 2\nnth = 1\n')
    plain.write_text(json.dumps([{"kind": "rate_limit", "retry_after": 2, "nth": [1]}]))
    assert read_script(toml) == read_script(plain) == (Fault("rate_limit", retry_after="2", nth=(1,)),)
    assert [read_fault(each) for each in describe(read_script(toml))] == list(read_script(toml))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [({"kind": "explode"}, "unknown fault 'explode'"), ({"kind": "reset", "n": 1}, "unknown key 'n'")],
)
def test_a_wrong_script_says_what_is_valid(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_fault(values)


def test_the_clock_runs_at_its_rate_and_is_moved_by_hand() -> None:
    seconds = [100.0]
    start = datetime(2026, 11, 24, tzinfo=UTC)
    clock = TwinClock(start, rate=60, timer=lambda: seconds[0])
    seconds[0] += 2
    assert (clock.now() - start).total_seconds() == 120
    assert (clock.advance(30) - start).total_seconds() == 150
    assert clock.set(start) == start
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        TwinClock(datetime(2026, 11, 24))
