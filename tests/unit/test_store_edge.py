"""What is particular to the embedded store: its folder, its lock, its search graph, and being killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ragkit.errors import StoreCorrupt, StoreError, StoreLocked, StoreMismatch
from ragkit.nouns import Chunk, DocumentRecord
from ragkit.store import SCHEMA_VERSION, IndexedChunk, IndexSchema, StoreQuery
from ragkit.stores import edge_graph
from ragkit.stores.edge import EdgeStore, open_edge
from ragkit.stores.edge_files import read_through
from ragkit.stores.edge_open import open_index
from ragkit.words.bm25 import encode_document, encode_query

LEXICAL = IndexSchema("test-1")
DENSE = IndexSchema("test-1", "test:8", 8)
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that is possible: syncing a busy disk is not what is tested."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name) / "index"


def vector_of(seed: str) -> tuple[float, ...]:
    chance = random.Random(seed)
    return tuple(chance.gauss(0, 1) for _ in range(8))


async def put(store: EdgeStore, document: str, version: int, size: int, *, dense: bool = False) -> None:
    """A document whose chunks say which version they are of."""
    texts = [f"fox {document} version{version} part{i}" for i in range(size)]
    chunks = [
        IndexedChunk(
            Chunk(f"{document}-{version}-{i}", document, document, text, 0, len(text), i, 4),
            "acme",
            f"r{version}",
            encode_document(text),
            vector_of(text) if dense else None,
        )
        for i, text in enumerate(texts)
    ]
    await store.stage(chunks)
    when = datetime(2026, 11, 24, tzinfo=UTC)
    await store.commit([DocumentRecord(document, "acme", document, "", f"r{version}", version, size, 99, when)])


async def test_one_process_at_a_time_and_the_message_names_it(folder: Path) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    with pytest.raises(StoreLocked, match=rf"open in process {os.getpid()}: .*ragkit serve.*Qdrant server"):
        await open_edge(folder, LEXICAL)
    await store.aclose()
    await (await open_edge(folder, LEXICAL)).aclose()


async def test_a_closed_index_says_so(folder: Path) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError, match="the index is closed"):
        await store.records("acme")


async def test_leftovers_are_swept_when_the_index_is_opened(folder: Path) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    await put(store, "d", 1, 3)
    stray = Chunk("x", "x", "x", "fox", 0, 3, 0, 1)
    await store.stage([IndexedChunk(stray, "acme", "r1", encode_document("fox"))])
    assert (await store.verify()).orphans == ("x",)
    await store.aclose()
    store = await open_edge(folder)
    assert (await store.verify()).clean
    await store.aclose()


async def test_a_creation_that_was_interrupted_is_begun_anew(folder: Path) -> None:
    await (await open_edge(folder, LEXICAL, create=True)).aclose()
    description = folder / "index.json"
    description.write_text(description.read_text().replace("true", "false"))
    with pytest.raises(StoreError, match="there is no index"):
        await open_edge(folder)
    store = await open_edge(folder, DENSE, create=True)
    assert (await store.info()).schema == DENSE
    await store.aclose()


async def test_a_rebuild_takes_over_only_when_it_is_published(folder: Path) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    await put(store, "d", 1, 3)
    await store.aclose()
    other = IndexSchema("test-2", "test:8", 8)
    for published in (False, True):
        store = await open_edge(folder, other, anew=True)
        assert await store.records("acme") == ()
        await put(store, "d", 1, 2, dense=True)
        assert not await store.optimize()
        if published:
            await store.publish()
        await store.aclose()
        store = await open_edge(folder)
        assert (await store.info()).schema == (other if published else LEXICAL)
        assert len(await store.chunks("acme", "d")) == (2 if published else 3)
        assert (await store.verify()).clean
        await store.aclose()
        assert sorted(path.name.partition("-")[0] for path in folder.glob("*-*")) == ["chunks", "documents"]


async def test_a_file_in_the_way_and_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        await open_edge(tmp_path / "file" / "index", LEXICAL, create=True)
    (tmp_path / "notes.txt").write_text("mine")
    await (await open_edge(tmp_path, LEXICAL, create=True)).aclose()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("other", "whose"), [(SCHEMA_VERSION - 1, "an earlier"), (SCHEMA_VERSION + 1, "a later")])
async def test_an_index_of_another_layout_is_refused(folder: Path, other: int, whose: str) -> None:
    await (await open_edge(folder, LEXICAL, create=True)).aclose()
    description = folder / "index.json"
    written = description.read_text()
    assert f'"version": {SCHEMA_VERSION}' in written
    description.write_text(written.replace(f'"version": {SCHEMA_VERSION}', f'"version": {other}'))
    with pytest.raises(StoreMismatch, match=rf"made by {whose} ragkit: .* Delete it and run ragkit ingest again"):
        await open_edge(folder)


@pytest.mark.parametrize(
    "damaged",
    [
        "index.json",
        "documents-0/segments/*/segment.json",
        "documents-0/segments/*/version.info",
        "chunks-0/edge_config.json",
        "chunks-0/segments/*/vector_storage-bm25/deleted/status.dat",
        "chunks-0/wal/first-index",
    ],
)
async def test_damaged_files_are_one_sentence(folder: Path, damaged: str) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    await put(store, "d", 1, 2)
    await store.aclose()
    file = next(folder.glob(damaged))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    sentence = r"^the index at \S+ is damaged \([^:]*\): restore .* run ragkit ingest again$"
    with pytest.raises(StoreCorrupt, match=sentence):
        await open_edge(folder)
    with pytest.raises(StoreCorrupt):  # and the lock was let go
        await open_edge(folder)


async def test_a_lost_description_is_not_taken_for_an_empty_folder(folder: Path) -> None:
    await (await open_edge(folder, LEXICAL, create=True)).aclose()
    (folder / "index.json").unlink()
    with pytest.raises(StoreCorrupt, match=r"index\.json is missing"):
        await open_edge(folder, LEXICAL, create=True)


async def test_the_graph_is_built_beside_questions_and_loses_no_write(folder: Path) -> None:
    store = EdgeStore(await asyncio.to_thread(open_index, folder, DENSE, create=True), graph_from=200)
    for i in range(20):
        await put(store, f"d{i}", 1, 20, dense=True)
    asked = StoreQuery("acme", encode_query("fox"), 400, vector_of("fox d3 version1 part7"))
    before = await store.search(asked)
    build = asyncio.create_task(store.optimize())
    await asyncio.sleep(0)
    answered = 0
    while not build.done():
        assert len((await store.search(asked)).dense) in (400, 380, 385)
        assert not await store.optimize()  # one at a time
        answered += 1
        if answered == 1:
            await store.remove("acme", ["d0"])
            await put(store, "new", 1, 5)
    assert await build
    assert answered > 1
    after = await store.search(asked)
    assert {hit.chunk.id for hit in before.dense if hit.chunk.document_id != "d0"} == {h.chunk.id for h in after.dense}
    assert after.dense[0].chunk.id == "d3-1-7"
    assert [c.text for c in await store.chunks("acme", "new")] == [f"fox new version1 part{i}" for i in range(5)]
    verified = await store.verify()
    assert verified.clean
    assert (verified.documents, verified.chunks, verified.without_dense) == (20, 385, 5)
    assert not await store.optimize()
    await store.aclose()
    assert len(list(folder.glob("chunks-*"))) == 1
    store = await open_edge(folder)
    assert await store.search(asked) == after
    await put(store, "new", 2, 2, dense=True)
    assert (await store.verify()).clean
    await store.aclose()


async def test_a_build_that_is_given_up_leaves_the_index_as_it_was(folder: Path) -> None:
    store = EdgeStore(await asyncio.to_thread(open_index, folder, LEXICAL, create=True), graph_from=10)
    await put(store, "d", 1, 20)
    build = asyncio.create_task(store.optimize())
    await asyncio.sleep(0.1)
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    await put(store, "d", 2, 20)
    assert (await store.verify()).clean
    assert [path.name for path in folder.glob("chunks-*")] == ["chunks-0"]
    build = asyncio.create_task(store.optimize())
    await asyncio.sleep(0.1)
    await store.aclose()
    with pytest.raises(StoreError):
        await build
    store = await open_edge(folder)
    assert [path.name for path in folder.glob("chunks-*")] == ["chunks-0"]
    assert len(await store.chunks("acme", "d")) == 20
    await store.aclose()


async def test_a_graph_that_was_taken_over_is_not_dropped_by_a_late_cancel(folder: Path) -> None:
    index = open_index(folder, LEXICAL, create=True)
    store = EdgeStore(index)
    await put(store, "d", 1, 20)
    edge_graph.build(index.begin_graph("new"), None)
    index.take_graph("new")
    index.drop_graph("new")
    await store.aclose()
    store = await open_edge(folder)
    assert len(await store.chunks("acme", "d")) == 20
    await store.aclose()


async def test_texts_are_read_ahead_until_told_to_stop(folder: Path) -> None:
    store = await open_edge(folder, LEXICAL, create=True)
    await put(store, "d", 1, 20)
    assert len((await store.search(StoreQuery("acme", encode_query("fox"), 5))).sparse) == 5
    await store.aclose()  # also while it reads
    pages = [path.stat().st_size for path in folder.glob("chunks-0/segments/*/payload_storage/page_*.dat")]
    assert read_through(folder / "chunks-0") == sum(pages) > 0
    assert read_through(folder / "chunks-0", lambda: True) == 0
    assert read_through(folder / "gone") == 0


WRITER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store_edge import LEXICAL, put
from ragkit.stores.edge import open_edge

async def main():
    store = await open_edge({folder!r}, LEXICAL, create=True)
    begin = {begin}
    for version in range(begin, begin + 1000):
        for document in range(4):
            await put(store, f"d{{document}}", version, 1 + (version + document) % 7)
            print(f"{{document}} {{version}}", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_what_was_acknowledged_survives_kill_9(folder: Path, kills: int) -> None:
    """Each life goes on where the last one was killed; some are killed while they open, some while they write."""
    chance = random.Random(kills)
    acknowledged: dict[int, int] = {}
    begin = 1
    for _ in range(kills):
        code = WRITER.format(tests=str(Path(__file__).parent), folder=str(folder), begin=begin)
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        if chance.random() < 0.8:
            for _ in range(chance.randrange(1, 40)):
                acknowledged |= dict(whole_lines(writer.stdout.readline()))
        time.sleep(chance.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        acknowledged |= dict(whole_lines(writer.stdout.read()))
        writer.stdout.close()
        writer.wait()
        if acknowledged:
            begin = max(acknowledged.values()) + 2
            asyncio.run(check(folder, acknowledged))


def whole_lines(output: str) -> Iterator[tuple[int, int]]:
    """(document, version) of each line that was written to its end: a kill may cut the last one short."""
    for line in output.splitlines(keepends=True):
        if line.endswith("\n"):
            document, version = map(int, line.split())
            yield document, version


async def check(folder: Path, acknowledged: dict[int, int]) -> None:
    store = await open_edge(folder)
    records = {record.id: record for record in await store.records("acme")}
    for document, version in acknowledged.items():
        record = records[f"d{document}"]
        assert record.version >= version
        size = 1 + (record.version + document) % 7
        whole = [f"fox d{document} version{record.version} part{i}" for i in range(size)]
        assert [chunk.text for chunk in await store.chunks("acme", record.id)] == whole
    assert (await store.verify()).clean
    await store.aclose()
