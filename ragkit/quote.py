"""Finding a quote in a text, and giving back the text's own characters.

Models copy faithfully but not typographically: they straighten quotation marks, unify dashes, join broken lines, spell
out ligatures, drop invisible characters and start a quote with a capital. These differences are folded away on both
sides before looking. Nothing else is tolerated, no letter case and no word: what is cited are the source's own
characters anyway, and a tolerance that changes words would prove statements that the source does not make.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

Span = tuple[int, int]

SHORTEST = 2
"""Letters or digits in the shortest quote: one character occurs everywhere and proves nothing."""

SHORTEST_PART = 12
"""Characters in the shortest part of a quote that was cut with an ellipsis."""

INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u00b4`"
DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
FOLDS = {
    **dict.fromkeys(SINGLE_QUOTES, "'"),
    **dict.fromkeys(DOUBLE_QUOTES, '"'),
    **dict.fromkeys(DASHES, "-"),
    **dict.fromkeys(INVISIBLE, ""),
    "\u2026": "...",
}
ELLIPSES = ("[...]", "(...)", "...")
WRAPPERS = "\"' "


def find_quote(quote: str, text: str) -> tuple[Span, ...]:
    """Where the quote stands in the text: one span, several if it was cut with ellipses, none if it is not there."""
    exact = text.find(quote)
    if exact >= 0 and _speaks(quote) and _whole_words(text, exact, exact + len(quote)):
        return (_trim(text, exact, exact + len(quote)),)
    folded = _fold(quote)[0].strip()
    for candidate in dict.fromkeys((folded, folded.strip(WRAPPERS), folded.strip(WRAPPERS).rstrip("."))):
        if span := _find(candidate, text, 0):
            return (span,)
    return _find_parts(folded, text)


def _find_parts(folded: str, text: str) -> tuple[Span, ...]:
    """The parts of an elided quote, each where it comes after the one before."""
    for ellipsis in ELLIPSES:
        folded = folded.replace(ellipsis, "\0")
    parts = [part.strip(WRAPPERS) for part in folded.split("\0") if part.strip(WRAPPERS)]
    if len(parts) < 2 or any(len(part) < SHORTEST_PART for part in parts):
        return ()
    spans: list[Span] = []
    for part in parts:
        span = _find(part, text, spans[-1][1] if spans else 0)
        if span is None:
            return ()
        spans.append(span)
    return tuple(spans)


def _find(folded_quote: str, text: str, begin: int) -> Span | None:
    if not _speaks(folded_quote):
        return None
    for quote in dict.fromkeys((folded_quote, folded_quote[0].swapcase() + folded_quote[1:])):
        folded, places = _fold(text)
        at = folded.find(quote)
        while at >= 0:
            after = at + len(quote)
            start, end = places[at], places[after - 1] + 1
            if start >= begin and _whole_characters(folded, places, at, after) and _whole_words(text, start, end):
                return _trim(text, start, end)
            at = folded.find(quote, at + 1)
    return None


@lru_cache(maxsize=64)
def _fold(text: str) -> tuple[str, tuple[int, ...]]:
    """The text as it is compared, and for each of its characters the place of the original."""
    folded: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for plain in _folded(character):
            if plain == " " and folded and folded[-1] == " ":
                continue
            folded.append(plain)
            places.append(place)
    return "".join(folded), tuple(places)


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    if character in FOLDS:
        return FOLDS[character]
    if character.isspace():
        return " "
    return character if character.isascii() else unicodedata.normalize("NFKD", character)


def _speaks(quote: str) -> bool:
    return sum(character.isalnum() for character in quote) >= SHORTEST


def _whole_characters(folded: str, places: tuple[int, ...], start: int, end: int) -> bool:
    """Folding takes characters apart (accents, ligatures, Hangul); a quote may not end in the middle of one."""
    if start and places[start - 1] == places[start]:
        return False
    return end == len(folded) or (places[end] != places[end - 1] and not unicodedata.combining(folded[end]))


def _whole_words(text: str, start: int, end: int) -> bool:
    """A quote may not begin or end inside of a word; scripts without spaces have no such border."""
    return not any(_joined(*pair) for pair in (text[start - 1 : start + 1], text[end - 1 : end + 1]) if len(pair) == 2)


def _joined(left: str, right: str) -> bool:
    return all(character.isalnum() and character < "\u0e00" for character in (left, right))


def _trim(text: str, start: int, end: int) -> Span:
    """The span without blanks at its ends."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
