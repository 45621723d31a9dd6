"""DOCX: paragraphs, headings, lists and tables in their order; text boxes where they are anchored; no deleted text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.guard import Container, Element
from ragkit_ingest.limits import Limits

_HEADING = re.compile(r"heading\s*(\d)", re.IGNORECASE)
_LEFT_OUT = frozenset(("del", "moveFrom", "instrText", "delText", "Fallback", "pPr", "rPr", "sectPr", "tblPr"))
"""Deleted text, field codes, and the second copy of what newer readers draw from `Choice`."""
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def parse(data: bytes, limits: Limits) -> Parsed:
    container = Container(data, limits)
    main = _main_part(container)
    body = container.xml(main).child("body")
    if body is None:
        raise Unreadable("is damaged: it has no body")
    folder = main.rpartition("/")[0]
    reader = _Reader(TextBuilder(limits), _heading_styles(container, f"{folder}/styles.xml"))
    reader.read(body)
    for name in ("footnotes", "endnotes", "comments"):
        if f"{folder}/{name}.xml" in container.names:
            reader.notes(container.xml(f"{folder}/{name}.xml"), name)
    return reader.builder.build(_core_title(container) or reader.title)


def _main_part(container: Container) -> str:
    for name in container.names:
        if name.lower() in ("word/document.xml", "word/document2.xml"):
            return name
    raise Unreadable("is damaged: it lacks its main part")


def _core_title(container: Container) -> str:
    if "docProps/core.xml" not in container.names:
        return ""
    title = container.xml("docProps/core.xml").child("title")
    return title.text if title is not None else ""


def _heading_styles(container: Container, name: str) -> dict[str, int]:
    """Heading levels by style id, 0 for the title: from the outline level or the name, also of the parent style."""
    if name not in container.names:
        return {}
    levels: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in container.xml(name):
        identity = style.attributes.get("styleId", "")
        named, based = style.child("name"), style.child("basedOn")
        title = named.attributes.get("val", "") if named is not None else ""
        parents[identity] = based.attributes.get("val", "") if based is not None else ""
        if match := _HEADING.fullmatch(title):
            levels[identity] = int(match[1])
        elif title.lower() == "title":
            levels[identity] = 0
        elif (outline := _outline_level(style.child("pPr"))) is not None:
            levels[identity] = outline
    for identity in parents:
        if identity not in levels and parents[identity] in levels and levels[parents[identity]] > 0:
            levels[identity] = levels[parents[identity]]
    return levels


def _outline_level(properties: Element | None) -> int | None:
    outline = properties.child("outlineLvl") if properties is not None else None
    value = outline.attributes.get("val", "9") if outline is not None else "9"
    return int(value) + 1 if value.isdigit() and int(value) < 9 else None


class _Reader:
    """Walks the body and hands blocks to the builder."""

    def __init__(self, builder: TextBuilder, levels: dict[str, int]) -> None:
        self.builder = builder
        self.title = ""
        self._levels = levels
        self._items: list[str] = []

    def read(self, parent: Element) -> None:
        self._blocks(parent)
        self._end_list()

    def notes(self, root: Element, name: str) -> None:
        """Foot- and endnotes and comments stand at the end, under a heading of their own."""
        texts = [" ".join(_lines(note)) for note in root if note.attributes.get("type", "normal") == "normal"]
        if any(text.strip() for text in texts):
            self.builder.heading(name.capitalize(), 1)
            self.builder.add("\n".join(f"- {text}" for text in texts if text.strip()), "list")

    def _blocks(self, parent: Element) -> None:
        for element in parent:
            if element.name == "p":
                self._paragraph(element)
            elif element.name == "tbl":
                self._end_list()
                self.builder.add("\n".join(_rows(element)), "table")
            elif element.name not in _LEFT_OUT:
                self._blocks(element)

    def _paragraph(self, paragraph: Element) -> None:
        text = _run_text(paragraph).strip()
        level, item = self._style(paragraph.child("pPr"))
        if item and text and level is None:
            self._items.append(f"- {text}")
        elif text:
            self._end_list()
            if level is None:
                self.builder.add(text)
            else:
                self.title = self.title or (" ".join(text.split()) if level == 0 else "")
                self.builder.heading(text, max(1, level))
        for box in _boxes(paragraph):
            self._blocks(box)

    def _style(self, properties: Element | None) -> tuple[int | None, bool]:
        if properties is None:
            return None, False
        style = properties.child("pStyle")
        name = style.attributes.get("val", "") if style is not None else ""
        level = self._levels.get(name, _outline_level(properties))
        return level, properties.child("numPr") is not None or name.lower().startswith("list")

    def _end_list(self) -> None:
        self.builder.add("\n".join(self._items), "list")
        self._items.clear()


def _run_text(element: Element) -> str:
    """The text of a paragraph; text boxes inside it are blocks of their own."""
    parts: list[str] = []
    pending = list(reversed(element.children))
    while pending:
        child = pending.pop()
        if child.name == "t":
            parts.append(child.text)
        elif child.name in _BREAKS:
            parts.append(_BREAKS[child.name])
        elif child.name == "oMath":
            parts.append(f" {_math(child)} ")
        elif child.name not in _LEFT_OUT and child.name != "txbxContent":
            pending.extend(reversed(child.children))
    return "".join(parts)


def _boxes(paragraph: Element) -> Iterator[Element]:
    pending = list(reversed(paragraph.children))
    while pending:
        child = pending.pop()
        if child.name == "txbxContent":
            yield child
        elif child.name not in _LEFT_OUT:
            pending.extend(reversed(child.children))


def _lines(element: Element) -> Iterator[str]:
    """The paragraphs of a note or a cell, also those inside a table in it."""
    for paragraph in element.walk("p"):
        if text := " ".join(_run_text(paragraph).split()):
            yield text


def _rows(table: Element) -> Iterator[str]:
    for row in _inside(table, "tr"):
        cells = [" ".join(_lines(cell)) for cell in _inside(row, "tc") if not _continues(cell)]
        if any(cells):
            yield " | ".join(cells)


def _inside(parent: Element, name: str) -> Iterator[Element]:
    """Children of a name, also through the wrappers of content controls."""
    for child in parent:
        if child.name == name:
            yield child
        elif child.name in ("sdt", "sdtContent", "ins", "customXml"):
            yield from _inside(child, name)


def _continues(cell: Element) -> bool:
    """Whether a cell only continues the one above it."""
    properties = cell.child("tcPr")
    merge = properties.child("vMerge") if properties is not None else None
    return merge is not None and merge.attributes.get("val", "continue") == "continue"


_FORMULAS = {
    "f": "({num})/({den})",
    "sSup": "{e}^{sup}",
    "sSub": "{e}_{sub}",
    "sSubSup": "{e}_{sub}^{sup}",
    "rad": "\u221a({e})",
    "d": "({e})",
    "func": "{fName} {e}",
    "nary": "{chr}_({sub})^({sup}) {e}",
    "limLow": "{e}_({lim})",
    "limUpp": "{e}^({lim})",
}


def _math(element: Element) -> str:
    """A formula on one line: fractions, powers, indices, roots, sums and integrals keep their meaning."""
    if element.name == "t":
        return element.text
    children = [child for child in element if not child.name.endswith("Pr")]
    shape = _FORMULAS.get(element.name)
    if shape is None:
        return "".join(_math(child) for child in children)
    sign = next((each.attributes.get("val", "") for each in element.walk("chr")), "\u222b")
    parts = defaultdict(str, chr=sign, **{child.name: _math(child) for child in children})
    return shape.format_map(parts).replace("_()", "").replace("^()", "")
