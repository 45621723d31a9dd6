"""Question sets with known relevant documents, as real indexes: the chunker, the encoder and Qdrant Edge."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ragkit.nouns import Chunk, DocumentRecord, Query, Turn
from ragkit.store import IndexedChunk, IndexSchema
from ragkit.stores.edge import EdgeStore, open_edge
from ragkit.tokens import estimate_tokens
from ragkit.words.bm25 import encode_chunk
from ragkit_ingest.chunk import Sizes, chunk
from ragkit_ingest.document import Block, Parsed

SETS = ("api_docs_qa", "mtrag_un", "covid_qa", "musique100", "xquad")
BATCH = 2000


@dataclass(frozen=True, slots=True)
class Case:
    """A question, its relevant documents, and texts that answer it."""

    id: str
    query: Query
    relevant: frozenset[str]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    name: str
    cases: tuple[Case, ...]
    chunks: tuple[Chunk, ...]


def load(folder: Path, name: str, *, history: bool = True) -> QuestionSet:
    """A set by name; the English part of xquad is hidden among the paragraphs of wiki_distractors."""
    english = name == "xquad"
    corpus = [row for row in _rows(folder / name, "corpus") if not english or row["id"].startswith("en-")]
    if english:
        corpus += _rows(folder / "wiki_distractors", "corpus")
    relevant: dict[str, set[str]] = {}
    with (folder / name / "qrels.tsv").open(encoding="utf-8") as file:
        for question, document, _ in list(csv.reader(file, delimiter="\t"))[1:]:
            relevant.setdefault(question, set()).add(document)
    cases = tuple(
        Case(row["id"], _query(row, history), frozenset(relevant[row["id"]]), tuple(row.get("answers", ())))
        for row in _rows(folder / name, "queries")
        if row["id"] in relevant and (not english or row["lang"] == "en")
    )
    return QuestionSet(name, cases, tuple(piece for row in corpus for piece in _cut(row)))


@asynccontextmanager
async def indexed(
    chunks: tuple[Chunk, ...], vectors: Mapping[str, tuple[float, ...]] | None = None
) -> AsyncIterator[EdgeStore]:
    """An index of the chunks in a temporary folder, with dense vectors by chunk id where there are any."""
    dimensions = len(next(iter(vectors.values()))) if vectors else None
    schema = IndexSchema("bench", "bench:dense" if vectors else None, dimensions)
    with TemporaryDirectory() as folder:
        store = await open_edge(Path(folder) / "index", schema, create=True)
        try:
            for batch in _batches(chunks):
                await store.stage([_index(piece, (vectors or {}).get(piece.id)) for piece in batch])
                await store.commit([_record(pieces) for pieces in _documents(batch)])
            yield store
        finally:
            await store.aclose()


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    lines = path.read_text("utf-8") if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes()).decode()
    return [json.loads(line) for line in lines.splitlines() if line]


def _query(row: Mapping[str, Any], history: bool) -> Query:
    turns = row.get("history") or () if history else ()
    return Query(row["text"], history=tuple(Turn(turn["role"], turn["text"]) for turn in turns))


def _cut(row: Mapping[str, Any]) -> list[Chunk]:
    text, document = row["text"], row["id"]
    spans = chunk(Parsed(text, (Block(0),)), Sizes())
    return [
        Chunk(
            id=f"{document}#{ordinal}",
            document_id=document,
            source=document,
            text=text[span.start : span.end],
            start=span.start,
            end=span.end,
            ordinal=ordinal,
            tokens=estimate_tokens(text[span.start : span.end]),
            title=row["title"],
        )
        for ordinal, span in enumerate(spans)
    ]


def _documents(chunks: list[Chunk]) -> Iterator[list[Chunk]]:
    grouped: dict[str, list[Chunk]] = {}
    for piece in chunks:
        grouped.setdefault(piece.document_id, []).append(piece)
    yield from grouped.values()


def _batches(chunks: tuple[Chunk, ...]) -> Iterator[list[Chunk]]:
    """Whole documents, for a document is committed at once."""
    batch: list[Chunk] = []
    for piece in chunks:
        if len(batch) >= BATCH and piece.ordinal == 0:
            yield batch
            batch = []
        batch.append(piece)
    yield batch


def _index(piece: Chunk, vector: tuple[float, ...] | None) -> IndexedChunk:
    sparse = encode_chunk(piece.title, piece.section, piece.text)
    return IndexedChunk(piece, "default", _revision(piece.document_id), sparse, vector)


def _revision(document: str) -> str:
    return sha256(document.encode()).hexdigest()


def _record(pieces: list[Chunk]) -> DocumentRecord:
    first = pieces[0]
    return DocumentRecord(
        id=first.document_id,
        tenant="default",
        source=first.source,
        title=first.title,
        revision=_revision(first.document_id),
        version=1,
        chunks=len(pieces),
        characters=pieces[-1].end,
        modified=datetime(2026, 1, 1, tzinfo=UTC),
    )
