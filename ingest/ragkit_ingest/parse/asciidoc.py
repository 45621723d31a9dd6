"""AsciiDoc: the text stays as it is; sections are lines that begin with `=`, delimited blocks are kept whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.markdown import heading_text
from ragkit_ingest.parse.plain import hidden_metadata, paragraphs
from ragkit_ingest.text import clean, decode

_PART = re.compile(
    r"^(?P<heading>={1,6})[^\S\n]+(?P<title>\S[^\n]*)$"
    r"|^(?P<fence>-{4,}|\.{4,}|\+{4,}|\|===)[^\S\n]*\n(?:(?!(?P=fence)[^\S\n]*$)[^\n]*\n)*(?:(?P=fence)[^\S\n]*$)?",
    re.MULTILINE,
)


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    blocks = tuple(scan(text))
    title = next((block.title for block in blocks if block.kind == "heading"), "")
    return Parsed(text, blocks, title, hidden_metadata(hidden))


def scan(text: str) -> Iterator[Block]:
    """The blocks of an AsciiDoc text in order."""
    position = 0
    for part in _PART.finditer(text):
        yield from paragraphs(text, position, part.start())
        if part["heading"]:
            yield Block(part.start(), "heading", len(part["heading"]), heading_text(part["title"]))
        else:
            yield Block(part.start(), "table" if part["fence"][0] == "|" else "code")
        position = part.end()
    yield from paragraphs(text, position, len(text))
