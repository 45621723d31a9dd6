"""The examples on the page about adapters run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ragkit import load_settings
from ragkit.adapters.blocking import open_blocking

pytest.importorskip("llama_index.core", reason="needs the extra 'llama-index'")
pytest.importorskip("langchain_core", reason="needs the extra 'langchain'")

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "adapters.md").read_text(encoding="utf-8"), re.DOTALL)
EXPECTED = ("receipts.md", "five years", "receipts.md", "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where: Path = tmp_path_factory.mktemp("page")
    settings = load_settings(environment={}, overrides={"store": {"path": where / "kb"}, "ingest": {"workers": 1}})
    with open_blocking(settings) as link:
        link.wait(lambda rag: rag.ingest(DOCS / "receipts.md"))
    return where


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_an_example_runs(
    folder: Path, place: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    exec(compile(BLOCKS[place], f"adapters.md[{place}]", "exec"), {"__name__": "__main__"})
    assert EXPECTED[place] in capsys.readouterr().out


def test_the_page_has_as_many_examples_as_are_expected() -> None:
    assert len(BLOCKS) == len(EXPECTED)
    assert "llama_index" in sys.modules
