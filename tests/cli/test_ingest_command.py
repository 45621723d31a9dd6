from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ragkit.errors import EXIT_CODES, PARTIAL_FAILURE, ConfigError


def ragkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ragkit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# Page\n\nThe answer to everything is 42.")
    (tmp_path / "docs/b.txt").write_text("Some other text.")
    return tmp_path


def test_json_is_the_documented_object(folder: Path) -> None:
    done = ragkit(folder, "ingest", "docs", "--json")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report.pop("seconds") > 0
    assert report == {
        "documents": {"added": 2, "updated": 0, "unchanged": 0, "deleted": 0, "failed": 0},
        "chunks": {"added": 2, "deleted": 0},
        "failures": [],
        "cost_usd": "0",
        "simulated_usd": "0",
    }
    assert done.stderr == "", "no bar where nobody watches"


def test_failed_files_are_named_and_change_the_exit_code(folder: Path) -> None:
    (folder / "docs/empty.md").write_text("")
    done = ragkit(folder, "ingest", "docs", "--json")
    assert done.returncode == PARTIAL_FAILURE
    report = json.loads(done.stdout)
    assert report["failures"] == [{"source": "docs/empty.md", "reason": "is empty"}]
    assert report["documents"]["added"] == 2
    text = ragkit(folder, "ingest", "docs")
    assert text.returncode == PARTIAL_FAILURE
    assert "failed: docs/empty.md is empty" in text.stdout


def test_a_missing_path_is_one_sentence(folder: Path) -> None:
    done = ragkit(folder, "ingest", "docs", "nope")
    assert done.returncode == EXIT_CODES[ConfigError]
    assert done.stderr == "ragkit: no such file or folder: nope\n"
    assert done.stdout == ""


def test_dry_run_delete_and_rebuild(folder: Path) -> None:
    assert "would be added 2" in ragkit(folder, "ingest", "docs", "--dry-run").stdout
    assert json.loads(ragkit(folder, "ingest", "docs", "--json").stdout)["documents"]["added"] == 2
    (folder / "docs/b.txt").unlink()
    assert json.loads(ragkit(folder, "ingest", "docs", "--json", "--no-delete").stdout)["documents"]["deleted"] == 0
    report = json.loads(ragkit(folder, "ingest", "docs", "--json", "--rebuild").stdout)
    assert report["documents"] == {"added": 0, "updated": 1, "unchanged": 0, "deleted": 1, "failed": 0}


def test_metadata_narrows_what_is_searched_and_asked(folder: Path) -> None:
    assert ragkit(folder, "ingest", "docs/a.md", "--meta", "team=hr", "--meta", "site = Bonn").returncode == 0
    assert ragkit(folder, "ingest", "docs").returncode == 0
    for where, sources in (
        (("--where", "team=hr", "--where", "site=Bonn"), ["docs/a.md"]),
        (("--where", "source=docs/b.txt"), ["docs/b.txt"]),
    ):
        hits = json.loads(ragkit(folder, "search", "everything text", "--json", *where).stdout)["hits"]
        assert [hit["source"] for hit in hits] == sources
    asked = ("ask", "What is the answer to everything?", "--json", "--where")
    assert json.loads(ragkit(folder, *asked, "team=sales").stdout)["abstained"]
    refused = ragkit(folder, "ingest", "docs", "--meta", "=hr")
    assert refused.returncode == EXIT_CODES[ConfigError]
    assert refused.stderr == "ragkit: --meta takes KEY=VALUE, such as team=hr, not '=hr'\n"
