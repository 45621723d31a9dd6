"""`ragkit eval` as a user runs it: a suite of files of one's own, on the twin."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = ("filter", "valve", "motor", "seal", "rotor")

SUITE = """
name = "pump"
[[data]]
path = "cases.jsonl"
documents = ["docs"]
[setup.usual]
answer = {model = "anthropic/claude-haiku-5-5", minimum_evidence = 0.0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    cases = []
    for number, part in enumerate(PARTS):
        (tmp_path / "docs" / f"{part}.md").write_text(
            f"# {part.title()}\n\nThe {part} must be replaced every {100 + number} hours.\n", encoding="utf-8"
        )
        question = {"id": part, "question": f"When is the {part} replaced?", "relevant": [f"{part}.md"]}
        cases.append(question | {"answers": [f"{100 + number} hours"]})
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
    return tmp_path


def ragkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ragkit", "eval", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_suite_is_run_reported_and_exported(folder: Path) -> None:
    done = ragkit(folder, "run", "suite.toml", "--json", "--report", "page.html", "--ragas", "ragas")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["simulated"] is True
    assert told["invoice_difference_usd"] == "0"
    assert told["lines"][0]["scores"]["in_context"] == 1.0
    page = (folder / "page.html").read_text("utf-8")
    assert "Simulated: the twin answered" in page
    assert "When is the filter replaced?" in page
    assert "src=" not in page
    assert "http" not in page
    sample = json.loads((folder / "ragas" / "usual.jsonl").read_text("utf-8").splitlines()[0])
    assert sample["reference"].endswith("hours")
    assert sample["retrieved_contexts"]


@pytest.mark.slow
def test_a_gate_passes_until_the_route_gets_dearer(folder: Path) -> None:
    assert ragkit(folder, "gate", "base.json", "--suite", "suite.toml", "--record").returncode == 0
    again = ragkit(folder, "gate", "base.json")
    assert (again.returncode, "passed" in again.stdout) == (0, True), again.stdout
    (folder / "suite.toml").write_text(SUITE.replace("haiku", "sonnet"), encoding="utf-8")
    dearer = ragkit(folder, "gate", "base.json")
    assert dearer.returncode == 1
    assert "claude-haiku-5-5 -> claude-sonnet-5-5" in dearer.stdout


def test_what_is_wrong_is_one_sentence(folder: Path) -> None:
    done = ragkit(folder, "gate", "none.json")
    assert done.returncode == 2
    assert done.stderr.startswith("ragkit: cannot read none.json")
    assert len(done.stderr.strip().splitlines()) == 1
