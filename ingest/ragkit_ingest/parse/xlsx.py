"""XLSX: one section per sheet, one line per row that holds something."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.guard import Container, Element
from ragkit_ingest.limits import Limits


def parse(data: bytes, limits: Limits) -> Parsed:
    container = Container(data, limits)
    shared = _shared_strings(container)
    builder = TextBuilder(limits)
    for name, path in _sheets(container):
        rows = [row for row in _rows(container.xml(path), shared) if row]
        if rows:
            builder.heading(name, 1)
            builder.add("\n".join(rows), "table")
    parsed = builder.build()
    if not parsed.text:
        raise Unreadable("holds no text: its sheets are empty")
    return parsed


def _sheets(container: Container) -> Iterator[tuple[str, str]]:
    """Names and parts of the sheets that are shown, in the order of the workbook."""
    parts = {
        relation.attributes.get("Id", ""): relation.attributes.get("Target", "")
        for relation in container.xml("xl/_rels/workbook.xml.rels")
    }
    for sheet in container.xml("xl/workbook.xml").walk("sheet"):
        target = parts.get(sheet.attributes.get("id", ""), "")
        path = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        if path in container.names and "worksheets/" in path:
            yield sheet.attributes.get("name", ""), path


def _shared_strings(container: Container) -> list[str]:
    if "xl/sharedStrings.xml" not in container.names:
        return []
    return [_text(item) for item in container.xml("xl/sharedStrings.xml")]


def _text(item: Element) -> str:
    """A string without the pronunciation that East Asian workbooks keep beside it."""
    runs = (run for part in item if part.name != "rPh" for run in part.walk("t"))
    return " ".join("".join(run.text for run in runs).split())


def _rows(sheet: Element, shared: list[str]) -> Iterator[str]:
    data = sheet.child("sheetData")
    for row in data or ():
        cells = [_value(cell, shared) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        yield " | ".join(cells)


def _value(cell: Element, shared: list[str]) -> str:
    kind, value, inline = cell.attributes.get("t", "n"), cell.child("v"), cell.child("is")
    if inline is not None:
        return _text(inline)
    raw = value.text.strip() if value is not None else ""
    if kind == "s":
        return shared[int(raw)] if raw.isdigit() and int(raw) < len(shared) else ""
    if kind == "b":
        return {"1": "TRUE", "0": "FALSE"}.get(raw, raw)
    return raw
