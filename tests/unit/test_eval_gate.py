"""The gate fails for planted regressions and, over twenty seeds, never for noise."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit_eval.gate import Kept, Recording, Tolerance, check, read_recording, verdict_text, write_recording


def rows(count: int = 60, seed: int = 0) -> tuple[Kept, ...]:
    """A run whose questions differ in cost and quality as real ones do."""
    rng = random.Random(seed)
    return tuple(
        Kept(
            "set",
            "usual",
            0,
            f"q{number:03d}",
            rng.randrange(200, 600) * 10**6,
            "small-model",
            {"input": rng.randrange(1000, 3000), "cache_read": 900, "output": 200},
            {"in_context": float(rng.random() < 0.85), "f1": rng.random()},
        )
        for number in range(count)
    )


def recording(kept: tuple[Kept, ...]) -> Recording:
    return Recording("suite.toml", "prices-1", kept)


def noisy(row: Kept, rng: random.Random) -> Kept:
    """A retry here and there, answers of other lengths, an answer that turns out better or worse."""
    cost = round((row.cost_pico or 0) * rng.uniform(0.97, 1.03)) * (2 if rng.random() < 0.02 else 1)
    scores = {name: value if rng.random() < 0.97 else float(rng.random() < 0.85) for name, value in row.scores.items()}
    return replace(row, cost_pico=cost, scores=scores)


@pytest.mark.parametrize("seed", range(20))
def test_noise_passes(seed: int) -> None:
    rng = random.Random(seed)
    verdict = check(recording(rows()), [noisy(row, rng) for row in rows()], Tolerance())
    assert verdict.passed, verdict_text(verdict)
    assert verdict.compared == 60


@pytest.mark.parametrize("seed", range(20))
def test_a_cost_regression_fails_in_the_middle_of_noise(seed: int) -> None:
    rng = random.Random(seed)
    dearer = [replace(row, cost_pico=round((row.cost_pico or 0) * 1.15)) for row in rows()]
    verdict = check(recording(rows()), [noisy(row, rng) for row in dearer], Tolerance())
    assert [finding.what for finding in verdict.findings] == ["cost"]


def test_a_dearer_route_is_told_with_the_models_and_the_tokens() -> None:
    changed = [
        replace(row, model="large-model", cost_pico=(row.cost_pico or 0) * 20) if number % 4 == 0 else row
        for number, row in enumerate(rows())
    ]
    (finding,) = check(recording(rows()), changed, Tolerance()).findings
    assert finding.after > 3 * finding.before
    assert all("small-model -> large-model" in line for line in finding.moved)


def test_a_prefix_that_is_written_each_time_shows_as_tokens_that_moved() -> None:
    def moved(row: Kept) -> Kept:
        tokens = {"input": row.tokens["input"], "cache_write_5m": 900, "output": 200}
        return replace(row, tokens=tokens, cost_pico=round((row.cost_pico or 0) * 1.4))

    verdict = check(recording(rows()), list(map(moved, rows())), Tolerance())
    assert "cache_read 900 -> 0, cache_write_5m 0 -> 900" in verdict_text(verdict)


def test_worse_answers_and_failures_are_found_and_better_ones_are_not() -> None:
    worse = [replace(row, scores={**row.scores, "in_context": 0.0}) for row in rows()[:12]] + list(rows()[12:])
    (finding,) = check(recording(rows()), worse, Tolerance()).findings
    assert finding.what == "in_context"
    better = [replace(row, scores=dict.fromkeys(row.scores, 1.0), cost_pico=1) for row in rows()]
    assert check(recording(rows()), better, Tolerance()).passed
    failed = [replace(row, error="the provider is down") if row.case == "q003" else row for row in rows()]
    (finding,) = check(recording(rows()), failed, Tolerance()).findings
    assert finding.moved == ("q003: the provider is down",)


def test_other_questions_are_told_and_another_suite_is_refused() -> None:
    verdict = check(recording(rows()), rows()[5:], Tolerance())
    assert verdict.passed
    assert verdict.notes == ("5 recorded questions were not asked",)
    with pytest.raises(ConfigError, match="another suite"):
        check(recording(rows()), [replace(row, data="other") for row in rows()], Tolerance())


def test_a_recording_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_recording(recording(rows(3)), tmp_path / "baseline.json")
    assert read_recording(tmp_path / "baseline.json") == recording(rows(3))
    assert len((tmp_path / "baseline.json").read_text("utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "make it with --record"), ("{", "is no recording"), ('{"format": 9}', "another format")],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    file = tmp_path / "baseline.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        read_recording(file)
