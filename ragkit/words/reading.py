"""A text read once: its quotable units with their words and the signs of an answer in them."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

from ragkit.words.question import Kind
from ragkit.words.text import Unit, stems, tokens, units, words
from ragkit.words.wordlist import weight

NUMERALS = """
    two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sixty hundred hundreds thousand
    thousands million millions billion half third quarter dozen once twice percent
"""
COUNTS = frozenset(stem for name in NUMERALS.split() for stem in stems(name))
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATE = re.compile(
    rf"\b(?:[0-9]{{1,2}}(?:st|nd|rd|th)? )?{MONTH}(?: [0-9]{{1,2}}(?:st|nd|rd|th)?)?(?:,? [0-9]{{4}})?\b"
    r"|\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b|\b(?:1[0-9]{3}|20[0-9]{2})s?\b|\b[0-9]{1,2}(?:st|nd|rd|th) century\b"
    r"|\b[0-9]+ (?:BC|AD|BCE|CE)\b"
)
MEASURE = re.compile(
    r"(?i)(?<![0-9.,])[0-9][0-9.,]{0,15}(?: ?(?:-|\u2013|to) ?[0-9.,]{1,16})?(?: million| billion)?[ -]?"
    r"(?:%|\u00b0|[kcm\u00b5n]?m\b|k?g\b|[kmg]b\b|ms\b|met(?:er|re)s?|kilomet|centimet|feet|foot|ft\b|inch|miles?\b|mph|km"
    r"|seconds?|minutes?|hours?|days?|weeks?|months?|years?|tons?|tonnes|kilograms?|pounds?|lit(?:er|re)s?|acres|hectares"
    r"|degrees|characters|tokens|dollars|euros|percent|times)|[$\u20ac\u00a3] ?[0-9]"
)
PLACE = re.compile(r"\b(?:in|at|from|near|to|of|through|on|across|outside) (?:the )?[A-Z]")
CAUSE = re.compile(
    r"(?i)\b(?:because|due to|owing to|since|so that|in order to|as a result|caused?|causes|therefore|reason|led to)\b"
    r"|\bto (?:avoid|prevent|make|keep|protect|reduce|allow|ensure)\b"
)
MEANS = re.compile(
    r"(?i)\b(?:by \w+ing|using|use|via|through|run|set|call|add|create|click|select|you can|with the)\b|[`$]"
)
BACK = re.compile(r"(?:It|He|She|They|This|These|Those|That|His|Her|Its|Their|Such)\b")
IS_A = re.compile(r"(?i)\b(?:is|are|was|were|means?|refers? to|defined as|stands for|known as|called)\b")
SIGNS: dict[Kind, re.Pattern[str]] = {"why": CAUSE, "how": MEANS, "definition": IS_A}


@dataclass(frozen=True, slots=True)
class Words:
    """A unit with its words; `held` is what they weigh, `telling` how many of them weigh anything."""

    unit: Unit
    text: str
    order: tuple[str, ...]
    all: frozenset[str]
    held: float
    telling: int
    asks: bool
    leads_in: bool
    refers_back: bool


@lru_cache(maxsize=2048)
def read(text: str) -> tuple[Words, ...]:
    """The units of a text with their words; kept, because the same chunks come up again and again."""
    return tuple(_read_unit(text[unit.start : unit.end], unit) for unit in units(text))


def _read_unit(text: str, unit: Unit) -> Words:
    order = tuple(words(text))
    distinct = frozenset(order)
    weights = list(filter(None, map(weight, distinct)))
    return Words(
        unit=unit,
        text=text,
        order=order,
        all=distinct,
        held=sum(weights),
        telling=len(weights),
        asks=text.endswith(("?", "\uff1f", "\u061f")),
        leads_in=text.endswith((":", "\uff1a")),
        refers_back=bool(BACK.match(text)),
    )


def has_name(unit: Words, known: Container[str]) -> bool:
    """Whether a capitalized word is new; the first word of a sentence is always capitalized."""
    capitalized = [token for token in tokens(unit.text)[1:] if token[0].isupper()]
    return any(stem not in known for token in capitalized for stem in stems(token))


def has_number(unit: Words, known: Container[str]) -> bool:
    """Whether a number that counts something is new; dates are put aside, for they answer other questions."""
    found = tokens(DATE.sub(" ", unit.text))
    numbers = (stem for token in found for stem in stems(token) if token[0].isdigit() or stem in COUNTS)
    return any(stem not in known for stem in numbers)


def answers(kind: Kind, unit: Words, known: Container[str]) -> bool:
    """Whether the unit has what this kind of question asks for, beyond the words that are known from the question."""
    if kind == "who":
        return has_name(unit, known)
    if kind == "when":
        return bool(DATE.search(unit.text)) or has_number(unit, known)
    if kind == "where":
        return bool(PLACE.search(unit.text)) and has_name(unit, known)
    if kind == "number":
        return has_number(unit, known)
    return bool(SIGNS[kind].search(unit.text))
