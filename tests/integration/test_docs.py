"""The pages are run: every `$ ragkit` line of a console block and every Python block, where there is a docs/ folder."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ENDLESS = ("ragkit twin", "ragkit serve", "ragkit local serve")
"""Commands that run until they are stopped; they have tests of their own."""
KEYED = ("ragkit batch submit", "ragkit batch status", "ragkit batch collect", "ragkit local status", "ragkit eval")
"""Commands that need a provider or take minutes; they have tests against the twin."""
SERVICE = "127.0.0.1:8080"
"""Blocks that talk to a running service; tests of the API do the same."""

RUN_BLOCK = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
names = {"__name__": "__main__"}
made = eval(code, names)
if inspect.iscoroutine(made):
    asyncio.run(made)
"""


def blocks() -> list[tuple[str, str, str]]:
    """Page, language and text of each block that can be run."""
    found = []
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if (language == "python" and SERVICE not in text) or "$ ragkit " in text:
                found.append((page.name, language, text))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with docs/, an index of it at .ragkit and at kb, and a question on the ledger."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", place / "docs")
    for arguments in (["ingest", "docs"], ["ingest", "docs", "--store", "kb"], ["ask", "What does a receipt list?"]):
        ran = run([sys.executable, "-m", "ragkit", *arguments], place)
        assert ran.returncode == 0, ran.stderr
    return place


def run(command: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("page", "language", "text"), blocks())
def test_what_a_page_shows_works(folder: Path, page: str, language: str, text: str) -> None:
    if language == "python":
        ran = run([sys.executable, "-c", RUN_BLOCK], folder, text)
        assert ran.returncode == 0, f"{page}:\n{text}\n{ran.stderr}"
        return
    for line in text.splitlines():
        if not line.startswith("$ ragkit ") or line.startswith(tuple(f"$ {command}" for command in ENDLESS + KEYED)):
            continue
        arguments = shlex.split(line.removeprefix("$ ragkit "), comments=True)
        ran = run([sys.executable, "-m", "ragkit", *arguments], folder)
        assert ran.returncode == 0, f"{page}: {line}\n{ran.stderr}"
