"""The chunks of an embedded index: the engine's calls, in batches, and a shard that can be exchanged while in use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from qdrant_edge import CountRequest, EdgeShard, Point, PointVectors, QueryRequest, ScrollRequest
from qdrant_edge import UpdateOperation as Write

from ragkit.errors import StoreError
from ragkit.stores.codec import DENSE, PLACE
from ragkit.stores.visible import Place, place_of

BATCH = 500
"""Points per call: the engine holds the interpreter while it writes, so this bounds how long a question waits."""
PAGE = 1000
"""Points that are read together where all are gone through."""


class ChunkShard:
    """Writes go through here one at a time; reads may run beside them.

    While a copy is being rebuilt elsewhere, `touched` collects the points that changed since the copy was taken.
    """

    def __init__(self, shard: EdgeShard) -> None:
        self.engine = shard
        self._touched: set[UUID] | None = None

    def upsert(self, points: Sequence[Point]) -> None:
        for batch in batches(points):
            self._write(Write.upsert_points(list(batch)), [point.id for point in batch])

    def delete(self, points: Sequence[UUID | int]) -> int:
        """Delete what is there of these; a replaced chunk may have gone with an earlier crash."""
        gone = 0
        for batch in batches(points):
            present = [point.id for point in self.retrieve(batch, fields=False)]
            self._write(Write.delete_points(present), present)
            gone += len(present)
        return gone

    def set_dense(self, vectors: Sequence[tuple[UUID, Sequence[float]]]) -> None:
        for batch in batches(vectors):
            update = [PointVectors(point, {DENSE: list(vector)}) for point, vector in batch]
            self._write(Write.update_vectors(update), [point for point, _ in batch])
        self.engine.flush()

    def retrieve(
        self, points: Sequence[UUID | int], *, fields: bool | list[str] = True, vectors: bool = False
    ) -> list[Any]:
        return self.engine.retrieve(list(points), with_payload=fields, with_vector=vectors)

    def query(self, request: QueryRequest) -> Sequence[Any]:
        return self.engine.query(request)

    def scroll(self, request: ScrollRequest) -> Any:
        return self.engine.scroll(request)

    def count(self) -> int:
        return self.engine.count(CountRequest(exact=True))

    def places(self) -> Iterator[Place]:
        """Where every point, of whomever, says that it belongs; for checks, which show nobody a text."""
        return (place_of(point.id, point.payload or {}) for point in scroll(self.engine, with_payload=PLACE))

    def copy(self, source: Path, target: Path) -> None:
        """Copy the files and begin to note what changes from here on."""
        self.engine.flush()
        shutil.copytree(source, target)
        self._touched = set()

    def catch_up(self, fresh: EdgeShard) -> None:
        """Bring a rebuilt copy up to date with what changed since it was taken."""
        for batch in batches(list(self._touched or ())):
            now = self.retrieve(batch, vectors=True)
            gone = set(batch) - {point.id for point in now}
            fresh.update(Write.delete_points(list(gone)))
            fresh.update(Write.upsert_points([Point(p.id, p.vector or {}, p.payload or {}) for p in now]))
        fresh.flush()
        if (found := fresh.count(CountRequest(exact=True))) != (expected := self.count()):
            raise StoreError(f"the rebuilt chunks were not taken over: {found} points instead of {expected}")

    def exchange(self, fresh: EdgeShard) -> None:
        """The old engine is not closed but let go, so that questions which are still in it end in peace."""
        self.engine = fresh
        self._touched = None

    def forget_copy(self) -> None:
        self._touched = None

    def _write(self, operation: Write, points: Sequence[Any]) -> None:
        if self._touched is not None:
            self._touched.update(points)
        self.engine.update(operation)


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def scroll(shard: EdgeShard | ChunkShard, *, page: int = PAGE, **request: Any) -> Iterator[Any]:
    """All points of a request, page by page."""
    offset = None
    while True:
        points, offset = shard.scroll(ScrollRequest(offset=offset, limit=page, **request))
        yield from points
        if offset is None:
            return
