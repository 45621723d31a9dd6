"""CSV and TSV: rows stay as they are written, and are never cut where they fit."""

from __future__ import annotations

from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.plain import hidden_metadata
from ragkit_ingest.text import clean, decode


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    return Parsed(text, (Block(0, "table"),), metadata=hidden_metadata(hidden))
