"""Opening an embedded index: lock, description, shards, and the sentences for what can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qdrant_edge import EdgeConfig, EdgeShard, EdgeSparseVectorParams, KeywordIndexParams, UpdateOperation

from ragkit.errors import StoreError
from ragkit.store import IndexSchema
from ragkit.stores import edge_files as files
from ragkit.stores.codec import FACTS, TENANT
from ragkit.stores.edge_errors import engine_errors
from ragkit.stores.edge_graph import live_config
from ragkit.stores.edge_index import EdgeIndex, Shards
from ragkit.stores.edge_room import Room

Wrap = Callable[[EdgeShard], EdgeShard]


def open_index(
    folder: Path,
    schema: IndexSchema | None,
    *,
    create: bool,
    anew: bool = False,
    wrap: Wrap = lambda shard: shard,
    room: Room | None = None,
) -> EdgeIndex:
    """`wrap` stands between the index and its shards, for those who want to watch or break the traffic."""
    room = room or Room(folder)
    if create:
        _make(folder)
    elif not folder.is_dir():
        raise files.no_index(folder)
    room.check()
    with engine_errors(folder, opening=True):
        lock = files.lock(folder)
        try:
            found = files.prepare(folder, schema, create=create, anew=anew)
            chunks, documents = _load(folder, found) if found.ready else _create(folder, found)
            index = EdgeIndex(folder, found, lock, (wrap(chunks), wrap(documents)), room)
            if not anew:
                index.publish()
            return index
        except BaseException:
            lock.close()
            raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} for the index cannot be made: {error.strerror}") from error


def _load(folder: Path, description: files.Description) -> Shards:
    return EdgeShard.load(str(folder / description.chunks)), EdgeShard.load(str(folder / description.documents))


def _create(folder: Path, description: files.Description) -> Shards:
    chunks = EdgeShard.create(str(folder / description.chunks), live_config(description.schema.dimensions))
    for name, tenant in ((TENANT, True), (FACTS, False)):
        chunks.update(UpdateOperation.create_field_index(name, KeywordIndexParams(is_tenant=tenant)))
    # The engine insists on a vector; records have none.
    no_vector = EdgeConfig(sparse_vectors={"unused": EdgeSparseVectorParams()})
    documents = EdgeShard.create(str(folder / description.documents), no_vector)
    for shard in (chunks, documents):
        shard.flush()
    return chunks, documents
