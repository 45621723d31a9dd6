"""reStructuredText: the text stays as it is; sections come from underlines, code from indentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragkit_ingest.document import Block, Kind, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.markdown import LONGEST_HEADING
from ragkit_ingest.parse.plain import LIST_ITEM, PARAGRAPH, hidden_metadata
from ragkit_ingest.text import clean, decode

_HEADING = re.compile(
    r"^(?:(?P<over>[!-/:-@\[-`{-~])(?P=over){2,}[^\S\n]*\n)?"
    r"[^\S\n]*(?P<title>\S[^\n]*)\n(?P<line>(?P<under>[!-/:-@\[-`{-~])(?P=under){2,})[^\S\n]*$",
    re.MULTILINE,
)
_ROLE = re.compile(r":[\w:-]+:`([^`<]+?)\s*(?:<[^`]*>)?`|`([^`<]+?)\s*<[^`]*>`__?|[`*|]+")
_TABLE = re.compile(r"[^\S\n]*(?:\+[-=+]{3,}|={2,}[^\S\n]+=)")
_CODE = re.compile(r"[^\S\n]*\.\. (?:code|sourcecode|parsed-literal|math|literalinclude|raw|highlight)[\w-]*::")
_PLAIN_DIRECTIVE = re.compile(r"[^\S\n]*\.\. ")


def parse(data: bytes, limits: Limits) -> Parsed:
    text, hidden = clean(decode(data))
    blocks = tuple(scan(text))
    title = next((block.title for block in blocks if block.kind == "heading"), "")
    return Parsed(text, blocks, title, hidden_metadata(hidden))


def scan(text: str) -> Iterator[Block]:
    """The blocks of a reStructuredText; levels count in the order in which styles of underlining appear."""
    styles: list[tuple[str | None, str]] = []
    literal = False
    for match in PARAGRAPH.finditer(text):
        start, end = match.span()
        indented = text[start] in " \t"
        if literal and indented:
            continue  # still part of the block that announced it
        heading = _heading(text, start, end)
        if heading is not None:
            style, title, stop = heading
            if style not in styles:
                styles.append(style)
            yield Block(start, "heading", styles.index(style) + 1, title)
            if not text[stop:end].strip():
                literal = False
                continue
            start = stop + 1
        yield Block(start, _kind(text, start))
        literal = _CODE.match(text, start) is not None or (
            text.endswith("::", start, end) and not _PLAIN_DIRECTIVE.match(text, start)
        )


def _heading(text: str, start: int, end: int) -> tuple[tuple[str | None, str], str, int] | None:
    match = _HEADING.match(text, start, end)
    if match is None or len(match["line"]) < 0.8 * len(match["title"].rstrip()):
        return None
    title = _ROLE.sub(lambda role: role[1] or role[2] or "", match["title"][:LONGEST_HEADING])
    return (match["over"], match["under"]), " ".join(title.split()), match.end()


def _kind(text: str, start: int) -> Kind:
    if _CODE.match(text, start):
        return "code"
    if _TABLE.match(text, start):
        return "table"
    return "list" if LIST_ITEM.match(text, start) else "text"
