"""How chunks and records lie in Qdrant, the same for the engine in the process and for a server.

A point's id is a UUIDv5 of what the point is: a document's record, or a revision of it whose chunks are numbered in
the last 32 bits. So the same chunk twice is the same point, a new revision never touches the old one, and the chunks
of a document are found by computing their ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from ragkit.errors import StoreError
from ragkit.nouns import Chunk, DocumentRecord, DocumentVersion
from ragkit.store import IndexedChunk

SPARSE = "bm25"
DENSE = "dense"
TENANT = "tenant"
FACTS = "facts"
CHUNK = "chunk"
PLACE = [TENANT, CHUNK]
"""The payload fields that tell where a chunk belongs."""
RECORD = "record"
CONTEXT = "context"
"""Of a chunk its context; of a record by what those of its chunks were made, after the revision that they belong to."""
RECORD_FIELDS = ("id", "source", "title", "revision", "version", "chunks", "characters")

OVERSAMPLING = 2.0
"""Candidates per place that int8 vectors propose and full vectors judge: recall 0.996 instead of 0.982 at 100,000."""

_NAMESPACE = UUID("6c1e4f0a-8a53-5d0e-9f7b-2f4f7a1d9c35")
_pack = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_quote = json.encoder.encode_basestring


class Stored(NamedTuple):
    """Where a stored chunk belongs: the revision of the document that it is a part of, and which part."""

    ordinal: int
    chunk: str
    document: str
    revision: str


@lru_cache(maxsize=4096)
def record_id(tenant: str, document_id: str) -> UUID:
    return uuid5(_NAMESPACE, f"{len(tenant)}:{tenant}{document_id}")


def chunk_id(record: UUID, revision: str, ordinal: int) -> UUID:
    return UUID(int=_first_chunk(record, revision) + ordinal)


def chunk_ids(record: DocumentRecord) -> list[UUID]:
    """The points of a record's chunks, in their order."""
    first = _first_chunk(record_id(record.tenant, record.id), record.revision)
    return [UUID(int=first + ordinal) for ordinal in range(record.chunks)]


def fact(key: str, value: str) -> str:
    """One metadata entry as a keyword; the length keeps `a=b` + `c` apart from `a` + `b=c`."""
    return f"{len(key)}:{key}={value}"


def tenant_filter(models: Any, tenant: str, *, facts: Sequence[tuple[str, str]] = (), also: Sequence[Any] = ()) -> Any:
    """The only place where a filter is made: the tenant is a condition of every one of them.

    `models` is the module of the engine or of the client; both name their parts alike. `also` only ever narrows.
    """
    if not tenant:
        raise StoreError("a tenant is needed: an empty one would mean everybody's documents")
    equal = [(TENANT, tenant), *((FACTS, fact(key, value)) for key, value in facts)]
    conditions = [models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in equal]
    return models.Filter(must=[*conditions, *also])


def chunk_payload(item: IndexedChunk) -> dict[str, Any]:
    """What is stored beside the vectors.

    Each payload field costs the engine's binding about 3 us in each direction, a list three times as much, so that
    what no filter asks for shares one field: half of the time to build a point.
    """
    chunk = item.chunk
    page = "null" if chunk.page is None else chunk.page
    shared = _shared(chunk.document_id, item.revision, chunk.source, chunk.title, chunk.section)
    own = f"{chunk.ordinal},{_quote(chunk.id)},{chunk.start},{chunk.end},{chunk.tokens},{page}"
    payload: dict[str, Any] = {TENANT: item.tenant, "text": chunk.text, CHUNK: f"[{own},{shared}]"}
    if item.metadata:
        facts = [fact(key, value) for key, value in item.metadata]
        payload[FACTS] = facts if len(facts) > 1 else facts[0]
    if chunk.context:
        payload[CONTEXT] = chunk.context
    return payload


def read_chunk(payload: Mapping[str, Any]) -> Chunk:
    return read_revision(payload)[1]


def read_revision(payload: Mapping[str, Any]) -> tuple[str, Chunk]:
    """A stored chunk and the revision of its document that it is a part of."""
    ordinal, chunk, start, end, tokens, page, document, revision, source, title, section = json.loads(payload[CHUNK])
    text, context = payload["text"], payload.get(CONTEXT, "")
    place = (start, end, ordinal, tokens, title, tuple(section), page)
    return revision, Chunk(chunk, document, source, text, *place, context)


def read_place(payload: Mapping[str, Any]) -> Stored:
    """Where a stored chunk belongs, without its text."""
    ordinal, chunk, _, _, _, _, document, revision, *_ = json.loads(payload[CHUNK])
    return Stored(ordinal, chunk, document, revision)


def is_as_given(payload: Mapping[str, Any], chunk: Chunk) -> bool:
    """Whether a stored point is this chunk, with the context that it has here."""
    return read_place(payload).chunk == chunk.id and payload.get(CONTEXT, "") == chunk.context


def has_context(payload: Mapping[str, Any], chunk: Chunk) -> bool:
    """Whether there is nothing to do for a stored point: it has the chunk's context, or is another chunk by now."""
    return read_place(payload).chunk != chunk.id or payload.get(CONTEXT, "") == chunk.context


def record_payload(record: DocumentRecord) -> dict[str, Any]:
    """One field beside the tenant, for the reason that a chunk has three."""
    fields = {name: getattr(record, name) for name in RECORD_FIELDS}
    history = [(it.number, it.digest, it.committed.isoformat(), it.chunks, it.characters) for it in record.history]
    own = {**fields, "modified": record.modified.isoformat(), "metadata": dict(record.metadata), "history": history}
    payload = {TENANT: record.tenant, RECORD: _pack(own)}
    return {**payload, **context_payload(record)} if record.context else payload


def context_payload(record: DocumentRecord) -> dict[str, str]:
    """A field of its own, so that it can be set without the rest; it counts for its revision only."""
    return {CONTEXT: f"{record.revision} {record.context}"}


def read_record(payload: Mapping[str, Any]) -> DocumentRecord:
    fields = json.loads(payload[RECORD])
    modified = datetime.fromisoformat(fields.pop("modified"))
    history = tuple(
        DocumentVersion(number, digest, datetime.fromisoformat(committed), chunks, characters)
        for number, digest, committed, chunks, characters in fields.pop("history")
    )
    revision, _, made_by = payload.get(CONTEXT, "").partition(" ")
    context = made_by if revision == fields["revision"] else ""
    return DocumentRecord(tenant=payload[TENANT], modified=modified, history=history, context=context, **fields)


@lru_cache(maxsize=4096)
def _first_chunk(record: UUID, revision: str) -> int:
    """The id of a revision's chunk 0 as a number, with room to count from."""
    return uuid5(record, revision).int >> 32 << 32


@lru_cache(maxsize=4096)
def _shared(document: str, revision: str, source: str, title: str, section: tuple[str, ...]) -> str:
    """The JSON, without its brackets, of what the chunks of a section have in common."""
    return _pack((document, revision, source, title, section))[1:-1]
