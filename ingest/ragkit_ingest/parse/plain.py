"""Plain text: paragraphs are what blank lines separate."""

from __future__ import annotations

import re

from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.text import clean, decode

PARAGRAPH = re.compile(r"(?m)^[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")
LIST_ITEM = re.compile(r"[^\S\n]*(?:[-*+•]|\d{1,9}[.)])[^\S\n]")


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    return Parsed(text, paragraphs(text, 0, len(text)), metadata=hidden_metadata(hidden))


def paragraphs(text: str, start: int, end: int) -> tuple[Block, ...]:
    """The blocks of a stretch of text without markup."""
    return tuple(
        Block(match.start(), "list" if LIST_ITEM.match(text, match.start()) else "text")
        for match in PARAGRAPH.finditer(text, start, end)
    )


def hidden_metadata(hidden: int) -> dict[str, str]:
    """Says that hidden characters were removed; nothing where there were none."""
    return {"hidden_characters": str(hidden)} if hidden else {}
