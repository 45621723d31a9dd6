"""XML of any kind: one line per element that holds text, named after it; nested elements make paragraphs."""

from __future__ import annotations

from collections.abc import Iterator

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed
from ragkit_ingest.guard import Element, parse_xml
from ragkit_ingest.limits import Limits
from ragkit_ingest.text import BOMS

_MARKED = {mark: encoding for mark, encoding in BOMS if encoding != "utf-8"}


def parse(data: bytes, limits: Limits) -> Parsed:
    encoding = next((encoding for mark, encoding in _MARKED.items() if data.startswith(mark)), None)
    if encoding is not None:
        # The mark says what the bytes are; a declaration that contradicts it was left behind by a conversion.
        data = data.decode(encoding, "replace").lstrip("\ufeff").encode()
    root = parse_xml(data, limits, "utf-8" if encoding else None)
    builder = TextBuilder(limits)
    for paragraph in _paragraphs(root):
        builder.add(paragraph, "list" if "\n" in paragraph else "text")
    return builder.build()


def _paragraphs(element: Element) -> Iterator[str]:
    """The leaves below an element as one paragraph, then those of its deeper children as their own."""
    lines = [_line(element.name, element.text)] if element.children else []
    deeper: list[Element] = []
    for child in element:
        if child.children:
            deeper.append(child)
        else:
            lines.append(_line(child.name, child.text))
        if child.tail.strip():
            lines.append(" ".join(child.tail.split()))
    if not element.children:
        lines.append(_line(element.name, element.text))
    yield "\n".join(line for line in lines if line)
    for child in deeper:
        yield from _paragraphs(child)


def _line(name: str, text: str) -> str:
    return f"{name}: {' '.join(text.split())}" if text.strip() else ""
