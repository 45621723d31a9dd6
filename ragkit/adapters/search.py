"""How an app of another framework searches, and what it is told of where a chunk stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ragkit.adapters.blocking import Work
from ragkit.nouns import Account, Hit


@dataclass(frozen=True, slots=True)
class Search:
    """How a retriever asks: it gets at most `k` chunks, and unless `selected` is off those that an answer would use."""

    k: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    selected: bool = True

    def hits(self, question: str) -> Work[tuple[Hit, ...]]:
        """The work that finds them, for `Link`."""
        return lambda rag: rag.search(
            question, k=self.k, filters=self.filters, account=self.account, selected=self.selected
        )


def metadata_of(hit: Hit) -> dict[str, Any]:
    """Where a chunk stands, for whoever cites it."""
    chunk = hit.chunk
    return {
        "source": chunk.source,
        "title": chunk.title,
        "section": " > ".join(chunk.section),
        "page": chunk.page,
        "document_id": chunk.document_id,
        "start": chunk.start,
        "end": chunk.end,
        "score": hit.score,
    }
