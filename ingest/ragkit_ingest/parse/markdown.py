"""Markdown and its relatives (Quarto, MDX, R Markdown): the text stays as it is, its blocks are found."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.facts import written
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.plain import LIST_ITEM, PARAGRAPH, hidden_metadata
from ragkit_ingest.text import clean, decode

_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[^\S\n]*\n(.*?)^(?:\1|\.\.\.)[^\S\n]*$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"^title\s*[:=]\s*(?P<quote>[\"']?)(?P<title>.{1,300}?)(?P=quote)[^\S\n]*$", re.MULTILINE)
_FENCE = re.compile(r"`+|~+")
_BEFORE_FENCE = re.compile(r"[^\S\n]*(?:>[^\S\n]*)*(?:[-*+][^\S\n]+|\d{1,9}[.)][^\S\n]+)?")
_ATX = re.compile(r"^ {0,3}(#{1,6})(?:[^\S\n]+(?P<title>[^\n]*))?$", re.MULTILINE)
_ALONE = re.compile(r"(#{1,6})(?:[^\S\n]+(?P<title>[^\n]*))?\Z")
_SETEXT = re.compile(r"^ {0,3}(?P<title>[^\s#>|][^\n]*)\n(?P<line>==+|--+)[^\S\n]*$", re.MULTILINE)
_TABLE = re.compile(r"[^\n|]*\|[^\n]*\n[^\S\n]*\|?[^\S\n]*:?-[-| :]*(?:\n|\Z)")
_INDENTED = re.compile(r"(?: {4}|\t)")
_MARKUP = re.compile(
    r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])|<[^>]{1,200}>|[`*]+|(?<!\w)_+|_+(?!\w)|\{[#.][^}]*\}\s*$|(?:^|\s)#+\s*$"
)

_MARK = re.compile(r"[][<`*_{&#]")
LONGEST_HEADING = 300


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    blocks = tuple(scan(text))
    front = _FRONT_MATTER.match(text)
    written_title = _TITLE.search(front[2]) if front else None
    title = written_title["title"] if written_title else next((it.title for it in blocks if it.kind == "heading"), "")
    return Parsed(text, blocks, title, {**hidden_metadata(hidden), **(written(front[2]) if front else {})})


def scan(text: str) -> Iterator[Block]:
    """The blocks of a Markdown text in order."""
    position = 0
    if front := _FRONT_MATTER.match(text):
        yield Block(0)
        position = front.end()
    for start, end in _fenced(text, position):
        yield from _prose(text, position, start)
        yield Block(start, "code")
        position = end
    yield from _prose(text, position, len(text))


def _fenced(text: str, position: int) -> Iterator[tuple[int, int]]:
    """Fenced code, from the beginning of its first line to the end of its last; unclosed, to the end of the text."""
    ticks, tildes = text.find("```", position), text.find("~~~", position)
    while ticks >= 0 or tildes >= 0:
        found = ticks if tildes < 0 or 0 <= ticks < tildes else tildes
        fence = text[found : _FENCE.match(text, found).end()]  # type: ignore[union-attr]
        start = text.rfind("\n", position, found) + 1 or position
        position = _line_end(text, found)
        if _BEFORE_FENCE.fullmatch(text, start, found) and "`" not in text[found + len(fence) : position]:
            position = _closing(text, position, fence)
            yield start, position
        # Each mark is looked for once from where it was found last: looking for both each time would be quadratic.
        ticks = text.find("```", position) if 0 <= ticks < position else ticks
        tildes = text.find("~~~", position) if 0 <= tildes < position else tildes


def _closing(text: str, position: int, fence: str) -> int:
    while (found := text.find(fence, position)) >= 0:
        start, end = text.rfind("\n", 0, found) + 1, _line_end(text, found)
        if not text[start:found].strip("> \t") and not text[found:end].strip(fence[0] + " \t"):
            return end
        position = end
    return len(text)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _prose(text: str, start: int, end: int) -> Iterator[Block]:
    for match in PARAGRAPH.finditer(text, start, end):
        paragraph = match[0]
        if paragraph[0] == "#" and (alone := _ALONE.match(paragraph)):
            yield Block(match.start(), "heading", len(alone[1]), heading_text(alone["title"] or ""))
        elif "#" in paragraph or "\n==" in paragraph or "\n--" in paragraph:
            yield from _with_headings(text, match.start(), match.end())
        else:
            yield _block(text, match.start(), match.end())


def _with_headings(text: str, start: int, end: int) -> Iterator[Block]:
    """A run of lines without a blank one: headings split it, what stands between them is one block each."""
    paragraph = text[start:end]
    position = 0
    marked = _atx(paragraph) if "#" in paragraph else ()
    underlined = _setext(paragraph) if "\n==" in paragraph or "\n--" in paragraph else ()
    for begin, stop, level, title in sorted((*marked, *underlined)):
        if begin < position:
            continue
        if paragraph[position:begin].strip():
            yield _block(text, start + position, end)
        yield Block(start + begin, "heading", level, heading_text(title))
        position = min(stop + 1, len(paragraph))
    if paragraph[position:].strip():
        yield _block(text, start + position, end)


def _atx(paragraph: str) -> Iterator[tuple[int, int, int, str]]:
    for match in _ATX.finditer(paragraph):
        yield match.start(), match.end(), len(match[1]), match["title"] or ""


def _setext(paragraph: str) -> Iterator[tuple[int, int, int, str]]:
    for match in _SETEXT.finditer(paragraph):
        if not LIST_ITEM.match(match["title"]):
            yield match.start(), match.end(), 1 if match["line"][0] == "=" else 2, match["title"]


def _block(text: str, start: int, end: int) -> Block:
    if text[start].isalpha() and text.find("|", start, end) < 0:
        return Block(start)
    if LIST_ITEM.match(text, start):
        return Block(start, "list")
    if _TABLE.match(text, start, end):
        return Block(start, "table")
    return Block(start, "code" if _INDENTED.match(text, start) else "text")


def heading_text(markup: str) -> str:
    """A heading as a reader sees it."""
    markup = markup[:LONGEST_HEADING]
    if _MARK.search(markup):
        markup = html.unescape(_MARKUP.sub(lambda match: match[1] or "", markup))
    return " ".join(markup.split())
