"""Answers and hits as text for people and as JSON for machines; the shapes are part of the public interface."""

from __future__ import annotations

from typing import Any

from ragkit.nouns import Answer, Citation, Hit
from ragkit.receipt import receipt_to_json, render_receipt
from ragkit.store import Reconciliation

EXCERPT = 160
"""Characters of a chunk shown in a list of hits."""


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The body of `ragkit ask --json` and of `POST /v1/query`; money is a decimal string of dollars."""
    route, prefix = answer.route, answer.prefix
    return {
        "answer": answer.text,
        "data": answer.data,
        "abstained": answer.abstained,
        "citations": [_citation_to_json(citation) for citation in answer.citations],
        "chunks": [
            {
                "id": hit.chunk.id,
                "score": round(hit.score, 6),
                "source": hit.chunk.source,
                "tokens": hit.chunk.tokens,
            }
            for hit in answer.hits
        ],
        "route": {
            "tier": route.model.tier,
            "model": route.model.id,
            "score": round(route.score, 6),
            "reason": route.reason,
        },
        "prefix": {
            "digest": prefix.digest,
            "documents": list(prefix.documents),
            "tokens": prefix.tokens,
            "marked": prefix.marked,
            "reason": prefix.reason,
        },
        "receipt": receipt_to_json(answer.receipt),
        "seconds": {stage: round(seconds, 6) for stage, seconds in answer.seconds.items()},
        "notes": list(answer.notes),
    }


def hit_to_json(hit: Hit) -> dict[str, Any]:
    """A hit of `ragkit search --json`."""
    chunk = hit.chunk
    return {
        "id": chunk.id,
        "score": round(hit.score, 6),
        "sparse_rank": hit.sparse_rank,
        "dense_rank": hit.dense_rank,
        "document_id": chunk.document_id,
        "source": chunk.source,
        "section": list(chunk.section),
        "page": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "text": chunk.text,
    }


def answer_text(answer: Answer) -> str:
    """The answer, its numbered citations and its receipt."""
    parts = [answer.text]
    parts += [_citation_text(number, citation) for number, citation in enumerate(answer.citations, start=1)]
    parts += [f"note: {note}" for note in answer.notes]
    parts.append(render_receipt(answer.receipt))
    return "\n\n".join(parts)


def hit_text(number: int, hit: Hit) -> str:
    """A hit in two lines: score and place, then the beginning of its text."""
    chunk = hit.chunk
    excerpt = " ".join(chunk.text.split())[:EXCERPT]
    return f"{number:>3}  {hit.score:.3f}  {_place(chunk.source, chunk.section, chunk.page)}\n     {excerpt}"


def _citation_to_json(citation: Citation) -> dict[str, Any]:
    return {
        "chunk_id": citation.chunk_id,
        "document_id": citation.document_id,
        "source": citation.source,
        "section": list(citation.section),
        "page": citation.page,
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
    }


def _citation_text(number: int, citation: Citation) -> str:
    place = _place(citation.source, citation.section, citation.page)
    quote = " ".join(citation.quote.split())
    return f"[{number}] {place}, characters {citation.start}-{citation.end}\n    “{quote}”"


def _place(source: str, section: tuple[str, ...], page: int | None) -> str:
    place = source if page is None else f"{source}, page {page}"
    return " > ".join((place, *section))


def reconciliation_to_json(found: Reconciliation) -> dict[str, Any]:
    """The body of `ragkit verify --json`."""
    return {
        "clean": found.clean,
        "documents": found.documents,
        "chunks": found.chunks,
        "incomplete": [{"source": record.source, "tenant": record.tenant} for record in found.incomplete],
        "orphans": list(found.orphans),
        "duplicates": list(found.duplicates),
        "without_dense": found.without_dense,
    }


def reconciliation_text(found: Reconciliation) -> str:
    """What `verify` found, and what to do about it."""
    lines = [f"{found.documents} documents, {found.chunks} chunks: {'clean' if found.clean else 'not clean'}"]
    lines += [f"incomplete: {record.source} (ingest it again)" for record in found.incomplete]
    if leftovers := len(found.orphans) + len(found.duplicates):
        lines.append(f"leftovers: {leftovers} chunks that no document claims (ragkit verify --repair deletes them)")
    if found.without_dense:
        lines.append(f"without vectors: {found.without_dense} chunks (the next ingest adds them)")
    return "\n".join(lines)
