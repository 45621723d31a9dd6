"""A rebuild takes the place of an index only when it is whole, and documents keep what was known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit, load_settings
from ragkit.errors import StoreError
from ragkit_ingest.pipeline import IngestOptions

REBUILD = IngestOptions(rebuild=True)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pump.md").write_text("The warranty of the pump lasts for five years.\n", encoding="utf-8")
    (folder / "fan.md").write_text("The fan is loud at night.\n", encoding="utf-8")
    return folder


def opened(docs: Path, target_tokens: int) -> Any:
    overrides = {"store": {"path": docs.parent / "kb"}, "ingest": {"target_tokens": target_tokens}}
    return Ragkit.open(load_settings(environment={}, overrides=overrides))


async def found(docs: Path, target_tokens: int, **filters: str) -> list[str]:
    async with opened(docs, target_tokens) as rag:
        return [hit.chunk.source for hit in await rag.search("warranty of the pump", filters=filters or None)]


async def test_documents_keep_their_metadata_and_versions(docs: Path) -> None:
    async with opened(docs, 200) as rag:
        await rag.ingest(docs, options=IngestOptions(metadata=(("team", "hr"),)))
    async with opened(docs, 100) as rag:
        report = await rag.ingest(docs, options=REBUILD)
        assert (report.added, report.updated, report.failures) == (0, 2, ())
        histories = [record.history for record in await (await rag._index.store()).records("default")]
    assert [[state.number for state in history] for history in histories] == [[1, 2], [1, 2]]
    assert "docs/pump.md" in await found(docs, 100, team="hr")


async def test_an_index_whose_documents_cannot_be_read_again_stays(docs: Path) -> None:
    async with opened(docs, 200) as rag:
        await rag.ingest(docs)
    (docs / "fan.md").write_bytes(b"\x00\x01\x02\x03" * 100)
    async with opened(docs, 100) as rag:
        with pytest.raises(StoreError, match=r"stays as it was.*docs/fan\.md"):
            await rag.ingest(docs, options=REBUILD)
        assert "docs/pump.md" in [hit.chunk.source for hit in await rag.search("warranty of the pump")]
    async with opened(docs, 200) as rag:
        assert len(await (await rag._index.store()).records("default")) == 2
    (docs / "fan.md").unlink()
    async with opened(docs, 100) as rag:
        assert (await rag.ingest(docs, options=REBUILD)).deleted == 1
    assert await found(docs, 100) == ["docs/pump.md"]


async def test_a_rebuild_that_would_be_made_leaves_the_index_open(docs: Path) -> None:
    async with opened(docs, 200) as rag:
        await rag.ingest(docs)
    async with opened(docs, 100) as rag:
        store = await rag._index.store()
        report = await rag.ingest(docs, options=IngestOptions(rebuild=True, dry_run=True))
        assert report.updated == 2
        assert await rag._index.store() is store
        assert len(await rag.search("fan")) > 0
