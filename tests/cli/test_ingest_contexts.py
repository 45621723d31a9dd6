"""`ragkit ingest` with contexts by batch, as people run it, against a twin."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragkit.errors import EXIT_CODES, BudgetExceeded, ConfigError
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import DONE, invoiced
from tests.integration.context_world import INTRODUCTION, MANUAL

SETTINGS = """
[ingest]
context = "batch"
target_tokens = 80
max_tokens = 160

[providers.anthropic]
api_key = "test"
base_url = "{url}"
"""


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, twin: RunningTwin) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "manual.md").write_text(MANUAL, encoding="utf-8")
    (tmp_path / "ragkit.toml").write_text(SETTINGS.format(url=twin.base_url("anthropic")), encoding="utf-8")
    return tmp_path


def ragkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ragkit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_foreseen_asked_for_and_collected(folder: Path, twin: RunningTwin) -> None:
    foreseen = json.loads(ragkit(folder, "ingest", "docs", "--dry-run", "--json").stdout)["context"]
    assert foreseen["estimated"] and foreseen["chunks"] > 4 and "0." in foreseen["cost_usd"]
    asked = ragkit(folder, "ingest", "docs")
    assert asked.returncode == 0 and "next: ragkit ingest --collect" in asked.stdout
    assert f"{foreseen['chunks']} contexts" in ragkit(folder, "batch", "status", job_of(folder)).stdout
    twin.clock.advance(DONE)
    done = json.loads(ragkit(folder, "ingest", "--collect", "--wait", "0.1", "--json").stdout)
    assert done["documents"]["added"] == 0
    context = done["context"]
    assert (context["given"], context["waiting"], context["failed"]) == (foreseen["chunks"], 0, 0)
    assert round(float(context["cost_usd"]) * 10**12) == invoiced(twin) > 0
    told = ragkit(folder, "batch", "collect", job_of(folder))
    assert told.returncode == 0 and told.stdout.count(INTRODUCTION) == foreseen["chunks"]


def job_of(folder: Path) -> str:
    (job,) = json.loads(ragkit(folder, "batch", "list", "--json").stdout)["jobs"]
    assert job["kind"] == "contexts"
    return str(job["job"])


def test_a_refusal_is_an_error_and_the_documents_are_there(folder: Path) -> None:
    assert ragkit(folder, "budget", "set", "all", "0.000001", "--per", "month").returncode == 0
    refused = ragkit(folder, "ingest", "docs")
    assert refused.returncode == EXIT_CODES[BudgetExceeded] and "documents added 1" in refused.stdout
    assert "manual.md" in ragkit(folder, "search", "flange").stdout


def test_collect_reads_no_files(folder: Path) -> None:
    for arguments in (["docs", "--collect"], ["--collect", "--dry-run"], []):
        refused = ragkit(folder, "ingest", *arguments)
        assert refused.returncode == EXIT_CODES[ConfigError] and refused.stderr.startswith("ragkit: ")
