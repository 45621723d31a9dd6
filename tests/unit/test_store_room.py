"""A disk that fills up: told in time, in a sentence, and without a loss."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragkit.errors import StoreError
from ragkit.settings import IngestSettings
from ragkit.store import IndexSchema
from ragkit.stores.edge import EdgeStore, open_edge
from ragkit.stores.edge_open import open_index
from ragkit.stores.edge_room import RESERVE, Room
from ragkit_ingest.pipeline import Destination, chunking_name, ingest

SETTINGS = IngestSettings(workers=1)
SCHEMA = IndexSchema(chunking_name(SETTINGS))
MIB = 1 << 20


class Filling:
    """A disk that is full from a look at it on."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def free(self, folder: Path) -> int:
        self.left -= 1
        return 1 << 40 if self.left >= 0 else 2 * MIB


def write_pages(folder: Path, count: int, words: int) -> None:
    folder.mkdir(exist_ok=True)
    past = time.time_ns() - 10**10
    for number in range(count):
        file = folder / f"{number:03}.md"
        file.write_text(
            f"# Page {number}\n\n" + "\n\n".join(f"Word{each} of page {number}. " * 9 for each in range(words))
        )
        os.utime(file, ns=(past, past))


def open_store(folder: Path, looks: int) -> EdgeStore:
    return EdgeStore(open_index(folder, SCHEMA, create=True, room=Room(folder, Filling(looks).free)))


def test_an_index_is_not_opened_on_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has 2 MiB left: make room for 16 MiB and run the command again"):
        open_store(tmp_path / "kb", 0)


def test_more_is_asked_for_what_is_larger(tmp_path: Path) -> None:
    room = Room(tmp_path, lambda _: RESERVE + MIB)
    room.check(MIB)
    with pytest.raises(StoreError, match="has 17 MiB left: make room for 18 MiB"):
        room.check(MIB + 1)


async def test_every_write_looks_at_the_disk_first_and_nothing_is_lost(tmp_path: Path) -> None:
    """Whichever look finds it full, what was committed is there, and a run with room ends as if nothing had been."""
    docs, place = tmp_path / "docs", tmp_path / "kb"
    write_pages(docs, 40, 120)
    whole = await open_edge(tmp_path / "whole", SCHEMA, create=True)
    await ingest([docs], Destination(whole), settings=SETTINGS)
    expected = {record.source: record.revision for record in await whole.records("default")}
    await whole.aclose()
    looks, failures = 1, 0
    while True:
        store = await asyncio.to_thread(open_store, place, looks)
        before = {record.source for record in await store.records("default")}
        try:
            report = await ingest([docs], Destination(store), settings=SETTINGS)
        except StoreError as error:
            assert "make room for" in str(error)
            failures += 1
        else:
            assert report.added == len(expected) - len(before)
            break
        finally:
            await store.aclose()
        store = await open_edge(place)
        assert (await store.verify()).clean
        assert before <= {record.source for record in await store.records("default")}
        await store.aclose()
        looks += 1
    assert failures >= 3
    store = await open_edge(place)
    assert {record.source: record.revision for record in await store.records("default")} == expected
    assert (await store.verify()).clean
    await store.aclose()


async def test_deletions_and_vectors_look_too(tmp_path: Path) -> None:
    write_pages(tmp_path / "docs", 1, 2)
    store = await open_edge(tmp_path / "kb", SCHEMA, create=True)
    await ingest([tmp_path / "docs"], Destination(store), settings=SETTINGS)
    await store.aclose()
    store = await asyncio.to_thread(open_store, tmp_path / "kb", 1)
    (record,) = await store.records("default")
    for call in (store.remove("default", [record.id]), store.set_dense("default", []), store.commit([record])):
        with pytest.raises(StoreError, match="make room"):
            await call
    assert len(await store.chunks("default", record.id)) == record.chunks
    await store.aclose()


def test_no_graph_is_built_where_its_copies_do_not_fit(tmp_path: Path) -> None:
    for free, pays in ((1 << 40, True), (RESERVE + MIB, False)):
        index = open_index(tmp_path / "kb", SCHEMA, create=True, room=Room(tmp_path, lambda _, free=free: free))  # type: ignore[misc]
        assert index.graph_pays(0) is pays
        index.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """48 MiB that really can fill up."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={48 * MIB}", "tmpfs", str(mount)]
    if not sys.platform.startswith("linux") or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_during_an_ingest(small_disk: Path, tmp_path: Path) -> None:
    write_pages(tmp_path / "docs", 150, 600)
    command = [sys.executable, "-m", "ragkit", "ingest", "docs", "--store", str(small_disk / "kb"), "--json"]
    full = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert full.returncode > 0, "killed by a signal"
    assert "make room for" in full.stderr and "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", f"remount,size={512 * MIB}", str(small_disk)], check=True)
    report = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert 0 < report["documents"]["added"] < 150
    assert report["documents"]["added"] + report["documents"]["unchanged"] == 150
    verify = [*command[:3], "verify", "--store", str(small_disk / "kb")]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True).returncode == 0
