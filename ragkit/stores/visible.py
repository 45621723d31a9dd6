"""Which points a question may see, and what is wrong with a set of points: pure functions for every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from ragkit.errors import StoreError
from ragkit.nouns import Chunk, DocumentRecord, Hit
from ragkit.store import Reconciliation
from ragkit.stores.codec import TENANT, Stored, chunk_id, read_chunk, read_place, read_revision, record_id

Channel = Literal["sparse", "dense"]
Revisions = Callable[[str, str], str | None]
"""Tenant and document to the committed revision."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored point says that it belongs."""

    point: UUID | int
    tenant: str
    document: str
    revision: str
    ordinal: int
    chunk: str


def place_of(point: UUID | int, payload: Mapping[str, Any]) -> Place:
    """Read leniently: what is not one of our chunks belongs nowhere and is found as an orphan."""
    try:
        stored = read_place(payload)
    except (KeyError, TypeError, ValueError):
        stored = Stored(-1, str(point), "", "")
    return Place(point, str(payload.get(TENANT, "")), stored.document, stored.revision, stored.ordinal, stored.chunk)


def visible_hits(points: Iterable[tuple[float, Mapping[str, Any]]], revisions: Revisions) -> tuple[Hit, ...]:
    """Scored payloads to unranked hits, without those of a revision that is not committed."""
    stored = ((score, payload[TENANT], *read_revision(payload)) for score, payload in points)
    return tuple(
        Hit(chunk, score)
        for score, tenant, revision, chunk in stored
        if revisions(tenant, chunk.document_id) == revision
    )


def ranked(hits: Sequence[Hit], channel: Channel, limit: int) -> tuple[Hit, ...]:
    """The best hits with their ranks; equal scores are ordered by chunk, so that a question repeats itself exactly."""
    best = sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:limit]
    if channel == "sparse":
        return tuple(Hit(hit.chunk, hit.score, i, None, hit.score, None) for i, hit in enumerate(best, 1))
    return tuple(Hit(hit.chunk, hit.score, None, i, None, hit.score) for i, hit in enumerate(best, 1))


@dataclass(frozen=True, slots=True)
class Findings:
    """The points that should not be there, and the records that miss some."""

    orphans: tuple[Place, ...]
    duplicates: tuple[Place, ...]
    incomplete: tuple[DocumentRecord, ...]
    chunks: int

    def reconciliation(self, documents: int, without_dense: int) -> Reconciliation:
        return Reconciliation(
            documents=documents,
            chunks=self.chunks,
            incomplete=self.incomplete,
            orphans=tuple(place.chunk for place in self.orphans),
            duplicates=tuple(place.chunk for place in self.duplicates),
            without_dense=without_dense,
        )


def in_order(payloads: Iterable[Mapping[str, Any]]) -> tuple[Chunk, ...]:
    """The chunks of a document as it reads."""
    return tuple(sorted(map(read_chunk, payloads), key=lambda chunk: chunk.ordinal))


def not_staged(record: DocumentRecord, staged: int) -> StoreError:
    """Why a record may not be written: it would promise chunks that are not there."""
    return StoreError(f"{record.source} was not committed: {staged} of its {record.chunks} chunks are staged")


def reconcile(places: Iterable[Place], records: Mapping[tuple[str, str], DocumentRecord]) -> Findings:
    """Hold every point against the record that should claim it.

    A duplicate is a point of a committed revision under an id that is not its own, or past the record's last chunk.
    """
    orphans: list[Place] = []
    duplicates: list[Place] = []
    present: Counter[tuple[str, str]] = Counter()
    for place in places:
        key = (place.tenant, place.document)
        record = records.get(key)
        if record is None or record.revision != place.revision:
            orphans.append(place)
        elif place.ordinal >= record.chunks or place.point != chunk_id(record_id(*key), place.revision, place.ordinal):
            duplicates.append(place)
        else:
            present[key] += 1
    incomplete = tuple(record for key, record in records.items() if present[key] < record.chunks)
    return Findings(tuple(orphans), tuple(duplicates), incomplete, present.total())
