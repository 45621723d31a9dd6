"""RTF: its text, without fonts, styles, pictures and other destinations."""

from __future__ import annotations

import re

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed
from ragkit_ingest.limits import Limits

_TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.IGNORECASE
)
_SKIPPED = frozenset(
    (
        *("fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "headerl", "headerr"),
        *("footerl", "footerr", "listtable", "listoverridetable", "rsidtbl", "generator", "themedata", "datastore"),
        *("colorschememapping", "latentstyles", "xmlnstbl", "fldinst", "filetbl", "revtbl", "panose"),
    )
)
_TEXT = {
    "par": "\n\n",
    "sect": "\n\n",
    "page": "\n\n",
    "line": "\n",
    "row": "\n",
    "cell": " | ",
    "tab": "\t",
    "emdash": "\u2014",
    "endash": "\u2013",
    "lquote": "\u2018",
    "rquote": "\u2019",
    "bullet": "\u2022",
    "ldblquote": "\u201c",
    "rdblquote": "\u201d",
}
_SYMBOLS = {"~": "\u00a0", "_": "-", "\\": "\\", "{": "{", "}": "}"}


def parse(data: bytes, limits: Limits) -> Parsed:
    builder = TextBuilder(limits)
    for paragraph in re.split(r"\n\s*\n", _text(data.decode("latin-1"))):
        builder.add(paragraph.strip(" |"))
    return builder.build()


def _text(markup: str) -> str:
    """Follows groups: each inherits whether it is skipped, and how many characters stand in for a Unicode one."""
    codepage = re.search(r"\\ansicpg(\d{3,5})", markup[:2000])
    encoding = f"cp{codepage[1]}" if codepage else "cp1252"
    parts: list[str] = []
    raw = bytearray()
    groups: list[tuple[bool, int]] = []
    skipped, stand_in, pending = False, 1, 0
    for match in _TOKEN.finditer(markup):
        word, number, byte, symbol, brace, plain = match.groups()
        if not byte and raw:
            parts.append(_decoded(raw, encoding))
            raw.clear()
        if brace == "{":
            groups.append((skipped, stand_in))
        elif brace == "}":
            skipped, stand_in = groups.pop() if groups else (False, 1)
        elif word in _SKIPPED or symbol == "*":
            skipped = True
        elif word == "uc":
            stand_in = int(number or 1)
        elif skipped:
            continue
        elif word == "u" and number:
            parts.append(chr(int(number) % 65536))
            pending = stand_in
        elif pending and byte:
            pending -= 1
        elif byte:
            raw.append(int(byte, 16))
        elif plain:
            parts.append(plain[pending:])
            pending = 0
        else:
            parts.append(_TEXT.get(word or "", "") or _SYMBOLS.get(symbol or "", ""))
    return _paired("".join(parts) + _decoded(raw, encoding))


def _decoded(raw: bytearray, encoding: str) -> str:
    try:
        return raw.decode(encoding, "replace")
    except LookupError:
        return raw.decode("cp1252", "replace")


def _paired(text: str) -> str:
    """Characters beyond the first plane are written as two halves."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
