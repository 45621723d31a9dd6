"""Answers taken from the prompt's own documents, so that citations can be checked: the sentences that best match the
question, word for word. Deterministic, and without any knowledge of how ragkit renders beyond its documented format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

DOCUMENT = re.compile(r'<doc-([0-9a-f]{8}) id="([0-9]+)"([^\n]*)>\n(.*?)\n</doc-\1>', re.DOTALL)
SOURCE = re.compile(r'\bsource="([^"]*)"')
SENTENCE = re.compile(r"[^\n.!?]*[^\s.!?][^\n.!?]*(?:[.!?](?!\s|$)[^\n.!?]*)*[.!?]?")
WORD = re.compile(r"[^\W_]+")
_STOPWORDS = """
a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it its
may me my no not of on or our shall she should so than that the their them then there these they this those to was
we were what when where which who whom whose why will with would you your
"""
STOPWORDS = frozenset(_STOPWORDS.split())
LONGEST_QUOTE = 400
STATEMENTS = 2
MINIMUM = 0.2
"""Share of the question's weight below which a sentence does not answer it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A citable text of the prompt; `index` counts the documents from 0."""

    id: str
    source: str
    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence that answers, where it stands, and its share of the question's weight."""

    passage: Passage
    quote: str
    start: int
    score: float


@dataclass(frozen=True, slots=True)
class Material:
    """A question and the sentences that answer it, best first; none when nothing in the prompt touches it."""

    question: str
    found: tuple[Found, ...]
    passages: tuple[Passage, ...] = ()


def read_prompt(texts: Sequence[str], extra: Iterable[Passage] = ()) -> Material:
    """Find documents and question in a prompt's texts; `extra` are documents that came as blocks of their own."""
    passages = [
        Passage(match[2], (SOURCE.search(match[3]) or ["", ""])[1], match[4])
        for text in texts
        for match in DOCUMENT.finditer(text)
    ]
    question = _question(texts)
    passages += extra
    if not passages:
        context = [text for text in texts[:-1] if text.strip()]
        passages = [Passage(str(number), "prompt", text) for number, text in enumerate(context, start=1)]
    numbered = [Passage(each.id, each.source, each.text, index) for index, each in enumerate(passages)]
    return Material(question, _best(question, numbered), tuple(numbered))


def _question(texts: Sequence[str]) -> str:
    for text in reversed(texts):
        _, mark, rest = text.rpartition("Question: ")
        if mark:
            return rest.strip()
    return texts[-1].strip() if texts else ""


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, without their endings."""
    words = (word.lower() for word in WORD.findall(text))
    return frozenset(_stem(word) for word in words if word not in STOPWORDS)


def _stem(word: str) -> str:
    for ending in ("ingly", "ing", "ies", "ed", "es", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@lru_cache(maxsize=32_768)
def sentences(text: str) -> tuple[tuple[str, int, frozenset[str]], ...]:
    """The sentences of a text with their offsets and stems; documents come again and again, hence the memory."""
    sentences = []
    for match in SENTENCE.finditer(text):
        raw = match.group()
        quote = raw.strip()[:LONGEST_QUOTE].rstrip()
        sentences.append((quote, match.start() + len(raw) - len(raw.lstrip()), stems(quote)))
    return tuple(sentences)


def _best(question: str, passages: Sequence[Passage]) -> tuple[Found, ...]:
    wanted = stems(question)
    rows = [(passage, *sentence) for passage in passages for sentence in sentences(passage.text)]
    weights = {stem: math.log(1 + len(rows) / (1 + sum(stem in row[3] for row in rows))) for stem in sorted(wanted)}
    whole = sum(weights.values()) or 1.0
    found = [
        Found(passage, quote, start, round(sum(weights[stem] for stem in sorted(wanted & stems)) / whole, 9))
        for passage, quote, start, stems in rows
        if wanted & stems
    ]
    found = [each for each in found if each.score >= MINIMUM]
    found = list({each.quote: each for each in reversed(found)}.values())
    found.sort(key=lambda each: (-each.score, each.passage.index, each.start))
    return tuple(each for each in found[:STATEMENTS] if each.score > found[0].score / 2)


def prose(material: Material) -> str:
    """The answer in plain text."""
    if not material.found:
        return "The documents do not contain the answer."
    return " ".join(each.quote for each in material.found)
