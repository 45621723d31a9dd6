"""Composes the text of formats that have none of their own: blocks, separated by blank lines."""

from __future__ import annotations

from collections.abc import Mapping

from ragkit_ingest.document import Block, Kind, Parsed, Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.text import visible


class TextBuilder:
    """Takes blocks in reading order; what is blank is left out, what is hidden is removed and counted."""

    def __init__(self, limits: Limits) -> None:
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._hidden = 0
        self._limit = limits.characters

    @property
    def first_heading(self) -> str:
        return next((block.title for block in self._blocks if block.kind == "heading"), "")

    def add(self, text: str, kind: Kind = "text", *, page: int | None = None) -> None:
        self._append(text, Block(self._length, kind, page=page))

    def heading(self, title: str, level: int, *, page: int | None = None) -> None:
        title = self._visible(" ".join(title.split()))
        self._append(title, Block(self._length, "heading", level, title, page))

    def include(self, parsed: Parsed, level: int = 0) -> None:
        """Append a parsed text with its structure, its headings `level` deeper."""
        blocks = parsed.blocks or (Block(0),)
        ends = [block.start for block in blocks[1:]] + [len(parsed.text)]
        for block, end in zip(blocks, ends, strict=True):
            moved = block._replace(start=self._length, level=block.level + level)
            self._append(parsed.text[block.start : end], moved)

    def build(self, title: str = "", metadata: Mapping[str, str] | None = None) -> Parsed:
        """The text; without a title of its own it has that of its first heading."""
        hidden = {"hidden_characters": str(self._hidden)} if self._hidden else {}
        title = visible(" ".join(title.split())).text or self.first_heading
        return Parsed("\n\n".join(self._parts), tuple(self._blocks), title, {**(metadata or {}), **hidden})

    def _append(self, text: str, block: Block) -> None:
        text = self._visible(text).strip("\n").rstrip()
        if not text.strip():
            return
        self._blocks.append(block)
        self._parts.append(text)
        self._length += len(text) + 2
        if self._length > self._limit:
            raise Unreadable(f"holds more than {self._limit:,} characters of text: split the file")

    def _visible(self, text: str) -> str:
        cleaned = visible(text)
        self._hidden += cleaned.hidden
        return cleaned.text
