"""OpenDocument texts, presentations and spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.guard import Container, Element
from ragkit_ingest.limits import Limits

_LEFT_OUT = frozenset(("tracked-changes", "annotation", "forms", "sequence-decls", "notes", "settings"))
_MOST_REPEATED = 100
"""Empty rows and cells at the end of a sheet are stored as one, repeated a million times."""


def parse(data: bytes, limits: Limits) -> Parsed:
    container = Container(data, limits)
    body = container.xml("content.xml").child("body")
    if body is None:
        raise Unreadable("is damaged: it has no body")
    builder = TextBuilder(limits)
    _blocks(builder, body)
    return builder.build(_title(container))


def _title(container: Container) -> str:
    if "meta.xml" not in container.names:
        return ""
    return next((title.text for title in container.xml("meta.xml").walk("title")), "")


def _blocks(builder: TextBuilder, parent: Element) -> None:
    for element in parent:
        if element.name == "h":
            level = element.attributes.get("outline-level", "1")
            builder.heading(_text(element), int(level) if level.isdigit() else 1)
        elif element.name == "p":
            builder.add(_text(element))
        elif element.name == "list":
            builder.add("\n".join(f"- {line}" for line in _lines(element)), "list")
        elif element.name == "table":
            if (name := element.attributes.get("name", "")) and parent.name == "spreadsheet":
                builder.heading(name, 1)
            builder.add("\n".join(_rows(element)), "table")
        elif element.name not in _LEFT_OUT:
            _blocks(builder, element)


def _lines(parent: Element) -> Iterator[str]:
    for element in parent.walk():
        if element.name in ("p", "h") and (text := " ".join(_text(element).split())):
            yield text


def _rows(table: Element) -> Iterator[str]:
    for row in table.walk("table-row"):
        cells: list[str] = []
        for cell in row:
            repeated = cell.attributes.get("number-columns-repeated", "1")
            times = int(repeated) if repeated.isdigit() else 1
            cells += [" ".join(_lines(cell))] * min(times, _MOST_REPEATED)
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield " | ".join(cells)


def _text(element: Element) -> str:
    """The text of a paragraph, with the blanks, tabs and line breaks that are elements here."""
    parts = [element.text]
    for child in element:
        if child.name == "s":
            count = child.attributes.get("c", "1")
            parts.append(" " * min(int(count) if count.isdigit() else 1, 80))
        elif child.name in ("tab", "line-break"):
            parts.append("\t" if child.name == "tab" else "\n")
        elif child.name not in _LEFT_OUT:
            parts.append(_text(child))
        parts.append(child.tail)
    return "".join(parts)
