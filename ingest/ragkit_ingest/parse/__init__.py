"""One file per format: `parse(data, limits)` gives `Parsed` or raises `Unreadable`. Imported on use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

MODULES = {
    "asciidoc": "asciidoc",
    "docx": "docx",
    "epub": "epub",
    "html": "html",
    "json": "json",
    "lines": "plain",
    "mail": "mail",
    "markdown": "markdown",
    "notebook": "notebook",
    "odf": "odf",
    "pdf": "pdf",
    "pptx": "pptx",
    "restructured": "restructured",
    "rtf": "rtf",
    "table": "table",
    "text": "plain",
    "xlsx": "xlsx",
    "xml": "xml",
}
PLAIN = frozenset(("asciidoc", "json", "lines", "markdown", "notebook", "restructured", "table", "text"))
"""Formats whose parsers are a few linear passes in pure Python: safe to run inside the caller's own process."""


def parse(kind: str, data: bytes, limits: Limits) -> Parsed:
    """Parse a file of a kind that `sniff` named."""
    parser: Callable[[bytes, Limits], Parsed] = import_module(f"ragkit_ingest.parse.{MODULES[kind]}").parse
    parsed = parser(data, limits)
    if len(parsed.text) > limits.characters:
        raise Unreadable(f"holds more than {limits.characters:,} characters of text: split the file")
    if not parsed.text.strip():
        raise Unreadable("holds no text")
    return parsed
