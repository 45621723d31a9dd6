"""Text as units that can be quoted, and words that can be compared. Pure, and quick enough for every question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, compress, count
from operator import not_
from typing import Literal

from ragkit.words.memo import Memo

UnitKind = Literal["prose", "item", "row", "code", "heading"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, list item, table row, code block or heading: `text[start:end]`."""

    kind: UnitKind
    start: int
    end: int


CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[^\W_{CJK}]+|[{CJK}]+")
_BREAKS = bytes(code if code > 127 or chr(code).isalnum() else 32 for code in range(256))
"""Makes blanks of the ASCII characters that are in no word, in UTF-8."""
LOWERED = _BREAKS.lower()
"""The same, and ASCII letters in lower case."""
SPACELESS = re.compile(f"[{CJK}]")

STEM_LENGTH = 6
"""Letters by which words are compared: founder is found in founding, and other languages lose their endings too."""

MOST_TOKENS = 65_536
"""Tokens whose stems are kept."""

FENCE = re.compile(r"\s*(```|~~~)")
HEADING = re.compile(r"\s{0,3}#{1,6}\s")
RULE = re.compile(r"[\s\-=~^*_#|:+.]*$")
ITEM = re.compile(r"\s*(?:[-*+\u2022\u25cf\u25aa]|\(?[0-9]{1,3}[.)]|[a-zA-Z][.)])\s+")
ROW = re.compile(r"\s*\||[^|]+\|[^|]+\||[^\t]+\t[^\t]")
BREAK = re.compile(
    r"[.!?\u2026]+[\"')\]\u201d\u2019\u00bb]*(?=\s)\s+|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]*|\u061f\s+"
)
ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|e\.g|i\.e|etc|vs|cf|al|approx|ca|Dr|Mr|Mrs|Ms|Prof|St|Sr|Jr|Gen|Col|Lt|Sgt|Rev|Hon|Gov|Sen|Rep"
    r"|Inc|Ltd|Co|Corp|Fig|Figs|Eq|No|Nos|Vol|pp|p|Sec|Ch|Art|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
    r"|\b(?:[A-Za-z]\.)+[A-Za-z])\.$"
)


def words(text: str) -> list[str]:
    """The comparable words of a text, in their order: stemmed, scripts without spaces as pairs of characters."""
    found = tokens(text)
    if text.isascii() or not SPACELESS.search(text):
        return list(map(_stems.__getitem__, found))
    return list(chain.from_iterable(map(stems, found)))


def tokens(text: str) -> list[str]:
    """What `WORD` finds, several times as quick: the pattern is only asked about words that are not all ASCII."""
    return _tokens(text, _BREAKS)


def lower_tokens(text: str) -> list[str]:
    """The same in lower case."""
    return _tokens(text if text.isascii() else text.casefold(), LOWERED)


def _tokens(text: str, table: bytes) -> list[str]:
    found = text.encode("utf-8", "surrogatepass").translate(table).decode("utf-8", "surrogatepass").split()
    if not text.isascii():
        # Foreign tokens are few, and every other one is passed over without a step of the interpreter.
        for place in [*compress(count(), map(not_, map(str.isascii, found)))][::-1]:
            found[place : place + 1] = WORD.findall(found[place])
    return found


def stems(token: str) -> tuple[str, ...]:
    """A token as it is compared: one stem, or the character pairs of a run without spaces."""
    if SPACELESS.match(token):
        return tuple(token[place : place + 2] for place in range(max(1, len(token) - 1)))
    return (_stems[token],)


def _compared(token: str) -> str:
    stem = _stem(token.casefold())
    return stem[:STEM_LENGTH] if stem.isalpha() else stem


_stems = Memo(_compared, MOST_TOKENS)


def _stem(word: str) -> str:
    """Cuts English endings of inflection; too careful rather than too bold, for both sides are cut alike."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = _singular(word)
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        root = word.removesuffix(ending)
        if root != word and len(root) > 2 and any(vowel in root for vowel in "aeiouy"):
            word = root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    word = word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word
    return word.removesuffix("e") if len(word) > 3 else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def units(text: str) -> tuple[Unit, ...]:
    """What can be quoted on its own, in reading order; blank and ruled lines belong to nothing."""
    return tuple(unit for kind, start, end in _blocks(text) for unit in _sentences(text, kind, start, end))


def _blocks(text: str) -> Iterator[tuple[UnitKind, int, int]]:
    """Paragraphs, list items, rows, headings, and the inside of fenced code."""
    kind: UnitKind = "prose"
    begin, fence, place = -1, "", 0
    for line in text.splitlines(keepends=True):
        start, place = place, place + len(line)
        marker = FENCE.match(line)
        if fence or marker:
            if begin >= 0 and (not fence or (marker and marker[1] == fence)):
                yield kind, begin, start
                begin = -1
            if marker and fence in ("", marker[1]):
                fence, kind = ("" if fence else marker[1]), ("prose" if fence else "code")
            elif begin < 0:
                begin = start
            continue
        found = _line_kind(line)
        if begin >= 0 and (found != "prose" or kind == "row"):
            yield kind, begin, start
            begin = -1
        if found == "heading":
            yield found, start, place
        elif found != "blank" and begin < 0:
            kind, begin = found, start
    if begin >= 0:
        yield kind, begin, len(text)


def _line_kind(line: str) -> UnitKind | Literal["blank"]:
    if RULE.match(line):
        return "blank"
    if HEADING.match(line):
        return "heading"
    if ITEM.match(line):
        return "item"
    return "row" if ROW.match(line) else "prose"


def _sentences(text: str, kind: UnitKind, start: int, end: int) -> Iterator[Unit]:
    if kind in ("prose", "item"):
        for found in BREAK.finditer(text, start, end):
            if _ends_sentence(text, found.start(), found.end(), end):
                yield from _unit(text, kind, start, found.end())
                start = found.end()
    yield from _unit(text, kind, start, end)


def _ends_sentence(text: str, start: int, after: int, end: int) -> bool:
    if after < end and text[after].islower():
        return False
    if text[start] != ".":
        return True
    return not ABBREVIATION.search(text, max(0, start - 12), start + 1)


def _unit(text: str, kind: UnitKind, start: int, end: int) -> Iterator[Unit]:
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip())
    if left < len(inner):
        yield Unit(kind, start + left, start + len(inner.rstrip()))
