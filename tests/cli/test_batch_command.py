"""`ragkit batch` from a folder with a settings file, against the twin."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit.cli import app
from ragkit.errors import PARTIAL_FAILURE
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin

MANUAL = """# Warranty

The warranty of the pump lasts for five years and covers the motor.

# Filters

The filter of the pump must be replaced every 400 hours.
"""
LINES = (
    '{"id": "w", "question": "How long does the warranty of the pump last?"}\n'
    '{"id": "f", "question": "When must the filter of the pump be replaced?"}\n'
)


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch) -> Path:
    url = twin.base_url("anthropic")
    (tmp_path / "ragkit.toml").write_text(
        f'[answer]\nmodel = "anthropic/claude-haiku-5-5"\n\n[providers.anthropic]\napi_key = "k"\nbase_url = "{url}"\n'
    )
    (tmp_path / "manual.md").write_text(MANUAL)
    (tmp_path / "q.jsonl").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    assert ragkit("ingest", "manual.md").exit_code == 0
    return tmp_path


def ragkit(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def as_json(*arguments: str) -> dict[str, Any]:
    done = ragkit(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_submit_follow_and_collect(folder: Path, twin: RunningTwin) -> None:
    priced = as_json("batch", "submit", "q.jsonl", "--dry-run")
    assert priced["questions"] == 2 and priced["models"] == ["anthropic/claude-haiku-5-5"]
    assert float(priced["batch_usd"]) < float(priced["live_usd"]) and twin.requests == []
    submitted = as_json("batch", "submit", "q.jsonl")
    job = submitted["job"]
    assert submitted["counts"] == {"planned": 2} and submitted["held_usd"] == priced["most_usd"]
    going = as_json("batch", "status", job)
    assert (going["batches"][0]["progress"], going["batches"][0]["total"]) == ("running", 2)
    assert f"next: ragkit batch collect {job}" in ragkit("batch", "status", job).stdout
    twin.clock.advance(700)
    done = as_json("batch", "collect", job, "--out", "answers.jsonl")
    assert done["state"] == "done" and done["held_usd"] == "0"
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == ["w", "f"]
    assert "five years" in rows[0]["answer"]["answer"] and rows[0]["answer"]["citations"][0]["source"] == "manual.md"
    shown = ragkit("batch", "collect", job)
    assert "five years" in shown.stdout and "from manual.md" in shown.stdout
    assert job in ragkit("batch", "list").stdout
    assert [it["job"] for it in as_json("batch", "list")["jobs"]] == [job]


def test_what_fails_for_good_is_told_and_changes_the_exit_code(folder: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("refusal", path="batch_item", nth=(1,))])
    job = as_json("batch", "submit", "q.jsonl")["job"]
    twin.clock.advance(700)
    done = ragkit("batch", "collect", job)
    assert done.exit_code == PARTIAL_FAILURE
    assert "w: 'claude-haiku-5-5' refuses to answer" in done.stdout


def test_cancel_gives_back_what_was_not_worked_off(folder: Path, twin: RunningTwin) -> None:
    job = as_json("batch", "submit", "q.jsonl")["job"]
    assert as_json("batch", "cancel", job)["state"] == "cancelling"
    done = ragkit("batch", "collect", job, "--wait", "0", "--json")
    assert done.exit_code == PARTIAL_FAILURE
    assert json.loads(done.stdout)["counts"] == {"failed": 2}
    assert twin.invoice.lines == ()


def test_hours_that_no_batch_can_meet_are_met_live(folder: Path, twin: RunningTwin) -> None:
    done = as_json("batch", "submit", "q.jsonl", "--within", "0.5")
    assert done["state"] == "done" and done["counts"] == {"answered": 2}
    assert {line.lane for line in twin.invoice.lines} == {"standard"}
