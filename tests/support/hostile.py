"""What a browser would make of an answer: what it would fetch, follow, run or hide. Knows nothing of ragkit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markdown_it import MarkdownIt

LINKED = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*:[\\/]{2}|\bwww\.|\b(?:mailto|javascript|data|vbscript):\S|(?<!\S)//\w")
"""What programs make a link of although it is not marked as one."""
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
OPENS = ("link_open", "image", "html_inline", "html_block")


def dangers(text: str) -> list[str]:
    """Links, images, HTML and hidden characters of a text, as Markdown and as it stands."""
    found = [token.type for token in _tokens(text) if token.type in OPENS and not token.content.startswith("</")]
    return [*found, *LINKED.findall(text), *map(repr, HIDDEN.findall(text))]


def _tokens(text: str) -> Any:
    for block in MarkdownIt("commonmark", {"html": True}).parse(text):
        yield block
        yield from block.children or ()


def spoken(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in spoken(inner)]
    return [text for inner in value for text in spoken(inner)] if isinstance(value, list) else []


def marks(text: str) -> set[int]:
    """The numbers of the citations that a text names."""
    return {int(number) for number in re.findall(r"\[([0-9]+)\]", text)}
