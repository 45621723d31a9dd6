"""PPTX: one section per slide, shapes in their order, also inside groups, then the speaker's notes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.guard import Container, Element
from ragkit_ingest.limits import Limits

_SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml")


def parse(data: bytes, limits: Limits) -> Parsed:
    container = Container(data, limits)
    builder = TextBuilder(limits)
    slides = sorted((int(match[1]), match[0]) for name in container.names if (match := _SLIDE.fullmatch(name)))
    if not slides:
        raise Unreadable("is damaged: it has no slides")
    broken = 0
    for number, name in slides:
        try:
            _slide(builder, container.xml(name), number)
        except Unreadable:
            broken += 1
            continue
        notes = f"ppt/notesSlides/notesSlide{number}.xml"
        if notes in container.names:
            builder.add("\n".join(_notes(container.xml(notes))), page=number)
    if broken == len(slides):
        raise Unreadable("is damaged: none of its slides can be read")
    return builder.build(metadata={"unreadable_slides": str(broken)} if broken else None)


def _slide(builder: TextBuilder, slide: Element, number: int) -> None:
    for shape in slide.walk():
        if shape.name == "sp":
            lines = list(_lines(shape))
            if _is_title(shape) and lines:
                builder.heading(" ".join(lines), 1, page=number)
            else:
                builder.add("\n".join(lines), "list" if len(lines) > 1 else "text", page=number)
        elif shape.name == "tbl":
            rows = (" | ".join(" ".join(_lines(cell)) for cell in row.walk("tc")) for row in shape.walk("tr"))
            builder.add("\n".join(rows), "table", page=number)


def _lines(shape: Element) -> Iterator[str]:
    for paragraph in shape.walk("p"):
        text = "".join("\n" if run.name == "br" else run.text for run in paragraph.walk() if run.name in ("t", "br"))
        if text.strip():
            yield text.strip()


def _notes(notes: Element) -> Iterator[str]:
    for shape in notes.walk("sp"):
        if any(place.attributes.get("type") == "body" for place in shape.walk("ph")):
            yield from _lines(shape)


def _is_title(shape: Element) -> bool:
    return any(place.attributes.get("type") in ("title", "ctrTitle") for place in shape.walk("ph"))
