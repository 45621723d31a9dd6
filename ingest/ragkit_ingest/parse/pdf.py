"""PDF: lines become paragraphs again, the outline gives the headings, hidden text and running headers go."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits

INVISIBLE = 3
"""The render mode of text that is not painted."""
EDGE = 2
"""Lines at either end of a page that may be a running header or footer."""
REPEATED_SHARE = 0.6
FULL_LINE = 0.7
"""A line this long, as a share of a page's long lines, runs on in the next."""
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BULLETS = dict.fromkeys((0xF0A7, 0xF0B7, 0xF0D8, 0xF0FC, 0xF076, 0xF0A8, 0x25CF, 0x25AA), "\u2022")
_TRANSLATION = {**_LIGATURES, **_BULLETS}
_UNMAPPED = re.compile(r"[\ue000-\uf8ff\ufffd\x00-\x08\x0e-\x1f]")
"""What a font without a map to Unicode leaves behind."""
_HYPHEN = re.compile(r"(\w+)\ufffe(\w+)")
_WORD = re.compile(r"\w+")
_FIELD = re.compile(r"[A-Z][\w /()&.,#-]{1,40}:(?:\s|$)")
"""A label of a form, which begins a line of its own."""
_LIST_ITEM = re.compile(r"(?:[\u2022\u2013*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")


class Page(NamedTuple):
    """A page as text lines."""

    number: int
    lines: tuple[str, ...]
    invisible: int
    unmapped: int


def parse(data: bytes, limits: Limits) -> Parsed:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("is protected by a password") from error
        raise Unreadable("is damaged: it cannot be opened as a PDF") from error
    with document:
        if len(document) > limits.pages:
            raise Unreadable(f"has {len(document):,} pages, more than the {limits.pages:,} allowed: split it")
        pages = [_page(document, index) for index in range(len(document))]
        outline = _outline(document)
        title = document.get_metadata_value("Title")
    return _compose(pages, outline, title, limits)


def _compose(pages: Sequence[Page], outline: dict[int, list[tuple[int, str]]], title: str, limits: Limits) -> Parsed:
    running = _running_lines(pages)
    unbroken = (_HYPHEN.sub(" ", line).lower() for page in pages for line in page.lines)
    words = Counter(word for line in unbroken for word in _WORD.findall(line))
    builder = TextBuilder(limits)
    for page in pages:
        lines = [line for index, line in enumerate(page.lines) if not _is_running(page, index, line, running)]
        headings = {_key(name): (level, name) for level, name in outline.get(page.number, ())}
        for paragraph in _paragraphs(lines, headings):
            text = _HYPHEN.sub(lambda match: _joined(match[1], match[2], words), paragraph)
            if heading := headings.pop(_key(text), None):
                builder.heading(text, heading[0], page=page.number)
            else:
                builder.add(text.replace("\ufffe", ""), "list" if _LIST_ITEM.match(text) else "text", page=page.number)
    invisible, unmapped = sum(page.invisible for page in pages), sum(page.unmapped for page in pages)
    metadata = {"pages": str(len(pages))}
    if invisible:
        metadata["invisible_characters"] = str(invisible)
    if unmapped:
        metadata["unreadable_lines"] = str(unmapped)
    parsed = builder.build(title if _is_title(title) else "", metadata)
    if not parsed.text:
        raise Unreadable("holds no text, only images or drawings: run OCR on it first")
    begins_with_title = parsed.blocks[0].kind == "heading" or _is_title(title)
    return parsed if begins_with_title else replace(parsed, title="")


def _page(document: pypdfium2.PdfDocument, index: int) -> Page:
    """A page that cannot be loaded is an empty one: the others are still worth reading."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return Page(index + 1, (), 0, 0)
    invisible = _remove_invisible(page)
    lines = [line.strip() for line in _text(page.get_textpage()).splitlines()]
    readable = tuple(line for line in lines if line and not _UNMAPPED.search(line))
    page.close()
    return Page(index + 1, readable, invisible, sum(1 for line in lines if line) - len(readable))


def _text(page: pypdfium2.PdfTextpage) -> str:
    """The engine gives one sign to hyphens at the ends of lines and to glyphs that it cannot name.

    Within a word the latter are ligatures, and of these `ffi` is the one that fonts leave without a name.
    """
    text: str = page.get_text_range(errors="replace")

    def named(sign: re.Match[str]) -> str:
        place = sign.start()
        if pdfium.FPDFText_IsHyphen(page.raw, place):
            return sign[0]
        return "ffi" if text[place - 1 : place].isalpha() and text[place + 1 : place + 2].isalpha() else ""

    return re.sub("\ufffe", named, text).translate(_TRANSLATION)


def _remove_invisible(page: pypdfium2.PdfPage) -> int:
    """Text that is not painted goes, unless the page shows a picture of it: then it is what OCR read there."""
    texts, pictures = [], False
    for item in page.get_objects(filter=(pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_IMAGE)):
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            pictures = True
        elif pdfium.FPDFTextObj_GetTextRenderMode(item.raw) == INVISIBLE:
            texts.append(item)
    if pictures or not texts:
        return 0
    before: int = page.get_textpage().count_chars()
    for item in texts:
        page.remove_obj(item)
    after: int = page.get_textpage().count_chars()
    return max(0, before - after)


def _outline(document: pypdfium2.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Level and title of the outline's entries by page number."""
    entries: dict[int, list[tuple[int, str]]] = {}
    for bookmark in document.get_toc(max_depth=6):
        destination = bookmark.get_dest()
        page = destination.get_index() if destination else None
        if page is not None:
            entries.setdefault(page + 1, []).append((bookmark.level + 1, bookmark.get_title()))
    return entries


def _running_lines(pages: Sequence[Page]) -> frozenset[str]:
    """Lines that stand at the edge of most pages, numbers aside."""
    if len(pages) < 3:
        return frozenset()
    seen = Counter(key for page in pages for key in {_numberless(line) for line in _edges(page)})
    return frozenset(key for key, count in seen.items() if count >= max(3, REPEATED_SHARE * len(pages)))


def _edges(page: Page) -> tuple[str, ...]:
    return page.lines if len(page.lines) <= 2 * EDGE else (*page.lines[:EDGE], *page.lines[-EDGE:])


def _is_running(page: Page, index: int, line: str, running: frozenset[str]) -> bool:
    return (index < EDGE or index >= len(page.lines) - EDGE) and _numberless(line) in running


def _numberless(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _paragraphs(lines: Sequence[str], headings: dict[str, tuple[int, str]]) -> Iterator[str]:
    """Joins the lines of a paragraph; a short line ends one, as does anything that looks like a beginning."""
    # The engine has joined broken words already, and with them two lines.
    lengths = sorted(len(part) for line in lines for part in line.split("\ufffe"))
    full = FULL_LINE * lengths[-1 - len(lengths) // 10] if lengths else 0
    paragraph = ""
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        paragraph += line
        last = line.rpartition("\ufffe")[2]
        titled = _key(line) in headings or _key(following) in headings
        if not following or titled or _LIST_ITEM.match(following):
            yield paragraph
            paragraph = ""
        elif _FIELD.match(following):
            paragraph += "\n"
        elif len(last) >= full or following[0].islower():
            paragraph += " "
        elif last.endswith((".", "!", "?", ":")):
            yield paragraph
            paragraph = ""
        else:
            paragraph += "\n"


def _joined(left: str, right: str, words: Counter[str]) -> str:
    """A word broken at the end of a line; the hyphen is its own where both parts are words and the whole is not."""
    whole = left + right
    if right[0].isupper() or right[0].isdigit():
        return f"{left}-{right}"
    if words[whole.lower()] == 0 and words[left.lower()] and words[right.lower()] and len(left) > 2 and len(right) > 2:
        return f"{left}-{right}"
    return whole


def _key(text: str) -> str:
    return "".join(text.split()).lower()


def _is_title(title: str) -> bool:
    """Programs leave names of files and of nothing in the title."""
    return len(title) > 3 and " " in title.strip() and not re.search(r"\.\w{2,4}$", title.strip())
