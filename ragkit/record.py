"""Nouns of what is kept about a document; `ragkit.nouns` has them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """A state of a document that was committed; `digest` is that of the file, equal for equal bytes."""

    number: int
    digest: str
    committed: datetime
    chunks: int
    characters: int


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """The commit record: only chunks of its `revision` are visible.

    `revision` hashes content and chunking, so that what is half-written by a crash can never pass for committed.
    `version` counts the commits of this source, from 1. `history` has the last of them, this one at its end. `context`
    tells by what the contexts of this revision's chunks were made, empty while some are missing.
    """

    id: str
    tenant: str
    source: str
    title: str
    revision: str
    version: int
    chunks: int
    characters: int
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    history: tuple[DocumentVersion, ...] = ()
    context: str = ""
