"""`ragkit cache`: what it tells of questions that were asked, and where it finds a broken prefix."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit import Ragkit, load_settings
from ragkit.cli import app
from ragkit_eval.twin.fixture import RunningTwin, running_twin

TOPICS = ("filter", "warranty", "noise", "bearing")
FILLER = "It is checked by a technician, noted in the log and signed by the shift leader of the day. " * 12


@pytest.fixture(scope="module")
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, twin: RunningTwin) -> Path:
    """An index whose questions made two documents hot."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "docs").mkdir()
    for number, topic in enumerate(TOPICS, start=2):
        text = f"# The {topic}\n\nThe {topic} of the pump lasts for {number} years. {FILLER}\n"
        (folder / "docs" / f"{topic}.md").write_text(text, encoding="utf-8")
    asyncio.run(ask_often(folder, twin))
    return folder / "kb"


async def ask_often(folder: Path, twin: RunningTwin) -> None:
    overrides: dict[str, Any] = {
        "store": {"path": folder / "kb"},
        "answer": {"model": "anthropic/claude-sonnet-5-5"},
        "providers": {"anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")}},
    }
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(folder / "docs")
        for number in range(26):
            await rag.ask(f"How long does the {TOPICS[number % 2]} of the pump last, asked for the {number}th time?")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments])


def told(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_report_tells_what_is_hot_what_it_saved_and_why_not(asked: Path) -> None:
    (line,) = told("report", "--store", str(asked))["lines"]
    assert line["questions"] == 26
    assert line["marked"] == line["reads"] + line["writes"] > 3
    assert line["writes"] == 1
    assert float(line["saved_usd"]) > 0
    assert {Path(source).stem for source in line["sources"]} >= {"filter", "warranty"}
    assert sum(line["refused"].values()) == 26 - line["marked"]
    assert all(odds["warm"] > odds["break_even"] for odds in line["odds"])


def test_the_report_reads_well(asked: Path) -> None:
    text = run("report", "--store", str(asked)).stdout
    assert "claude-sonnet-5-5" in text
    assert "warranty.md" in text
    assert "unmarked" in text
    assert "26 answers are kept" in text


def test_another_tenant_is_told_nothing(asked: Path) -> None:
    assert told("report", "--store", str(asked), "--tenant", "stranger") == {"lines": [], "answers": {}}


def test_without_any_questions_it_says_so(tmp_path: Path) -> None:
    assert "ask a model some questions first" in run("report", "--store", str(tmp_path)).stdout
    assert not list(tmp_path.iterdir())


def test_the_ledger_replayed_predicts_what_was_read(asked: Path) -> None:
    found = told("check", "--store", str(asked))
    assert found["requests"] == 26
    assert found["heads"] == 1
    assert not found["breaks"]
    assert {it["ttl"]: it["hits"] for it in found["predictions"]}["5m"] == found["read"]


def test_requests_on_the_wire_show_the_byte_that_broke_the_prefix(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text("\n".join(json.dumps(request(number)) for number in range(6)), encoding="utf-8")
    found = told("check", str(file))
    (broken,) = found["breaks"]
    assert broken["request"] == 4
    assert broken["byte"] == len("You are helpful. Today is day ")
    assert (broken["before"][0], broken["after"][0]) == ("1", "2")
    assert {it["ttl"]: it["hits"] for it in found["predictions"]} == {"5m": 4, "30m": 4, "1h": 4, "12h": 4}


def request(number: int) -> dict[str, Any]:
    """A prompt with a date before its mark, and a question after it."""
    text = f"You are helpful. Today is day {1 + number // 3}. {FILLER}"
    system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": f"Question {number}"}]
    return {"at": number * 60.0, "model": "m", "body": {"model": "m", "messages": messages, "system": system}}


def test_what_the_twin_has_seen_can_be_checked_as_it_is(asked: Path, twin: RunningTwin, tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    seen = [each.to_json() for each in twin.requests if isinstance(each.body, dict)]
    file.write_text("\n".join(map(json.dumps, seen)), encoding="utf-8")
    found = told("check", str(file))
    assert found["requests"] == 26
    assert not [it for it in found["breaks"] if it["request"] > 22]


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"at": 1}', '{"at": "noon", "model": "m", "text": "x"}'])
def test_a_line_that_is_no_request_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text('{"at": 1, "model": "m", "text": "x"}\n' + line, encoding="utf-8")
    result = run("check", str(file))
    assert result.exit_code != 0
    assert "line 2" in str(result.exception)
