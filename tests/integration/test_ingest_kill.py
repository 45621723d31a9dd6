"""`kill -9` at random points of an ingest, each followed by a plain second run: nothing lost, doubled or left over."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ragkit.stores.edge import open_edge

FILES = 90
SEED = 20261123
Contents = dict[str, tuple[tuple[str, str], ...]]


def write_version(docs: Path, version: int) -> None:
    """Half of the files differ between versions, and some exist in one of them only."""
    for number in range(FILES):
        file = docs / f"part{number % 7}" / f"{number}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        edition = version if number % 2 else 0
        paragraphs = (f"Paragraph {each} of page {number}, edition {edition}. " * 12 for each in range(12))
        file.write_text(f"# Page {number}\n\n" + "\n\n".join(paragraphs))
        if number % 10 == version:
            file.unlink()
    (docs / "page.html").write_text(f"<h1>Page</h1><p>Edition {version}</p>")


def start(docs: Path, store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ragkit", "ingest", "docs", "--store", str(store)]
    return subprocess.Popen(command, cwd=docs.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ingest(docs: Path, store: Path) -> None:
    process = start(docs, store)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


def contents(folder: Path) -> Contents:
    """What is in an index that must be in order, by source."""

    async def read() -> Contents:
        store = await open_edge(folder)
        try:
            assert (await store.verify()).clean
            records = await store.records("default")
            chunks = {record.source: await store.chunks("default", record.id) for record in records}
            assert all(len(chunks[record.source]) == record.chunks for record in records)
            return {source: tuple((chunk.id, chunk.text) for chunk in found) for source, found in chunks.items()}
        finally:
            await store.aclose()

    return asyncio.run(read())


@pytest.mark.parametrize("points", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_ingest_is_finished_by_a_second_run(tmp_path: Path, points: int) -> None:
    docs, store = tmp_path / "docs", tmp_path / "kb"
    expected, seconds = [], 60.0
    for version in (0, 1):
        write_version(docs, version)
        began = time.perf_counter()
        ingest(docs, tmp_path / f"clean{version}")
        seconds = min(seconds, time.perf_counter() - began)
        expected.append(contents(tmp_path / f"clean{version}"))
    moments = random.Random(SEED)
    killed, sooner = 0, 1.0
    while killed < points:
        point = killed
        write_version(docs, point % 2)
        process = start(docs, store)
        time.sleep(moments.uniform(0.2, 1.0) * seconds * sooner)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed, sooner = killed + 1, 1.0
        else:  # it was done: the machine is faster now than when it was timed
            sooner *= 0.6
        ingest(docs, store)
        assert contents(store) == expected[point % 2], f"seed {SEED}, point {point}"
