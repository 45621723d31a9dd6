"""What parsing yields: a text and where its blocks begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["text", "heading", "list", "table", "code"]
"""A block's kind decides where it may be cut when it is too long: at sentences, items, rows or lines."""


class Unreadable(Exception):
    """A file that cannot become text; `str(error)` is the reason that its owner gets to read."""


class Block(NamedTuple):
    """A block reaches to the next one's start, blank lines included, so that the blocks of a text partition it."""

    start: int
    kind: Kind = "text"
    level: int = 0
    """Of a heading, from 1."""
    title: str = ""
    """Of a heading, without its markup."""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file as text with structure. Blocks are sorted by their start; `title` is empty where the file names none."""

    text: str
    blocks: tuple[Block, ...]
    title: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
