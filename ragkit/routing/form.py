"""The form of a question as a row of numbers: sizes, kinds of words, figures, and what sets its choices apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log, sqrt

LONGEST = 2000
"""Characters of a question that are looked at, and of its choices together."""
LARGEST = 1e12
"""Figures above this are alike."""
OPTION = re.compile(r"\n\(?([A-Ja-j])[.)] ")
WORD = re.compile(r"[^\W\d_]+")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SIGN = re.compile(r"[=+*/^$\\(){}<>|~]")
SENTENCE = re.compile(r"[.!?]\s")
SUPPOSED = re.compile(r"\b(?:if|suppose|assume|would|should)\b")
DENIED = re.compile(r"\b(?:not|no|never|cannot)\b|n't")
ABSTRACT = ("tion", "ism", "ity", "ics", "ology")
COMMON = frozenset(
    """
    the a an of in to is are was were and or for on by with that this it as at from be which what who when how why if
    not its their his her has have had can will would should may must
    """.split()  # noqa: SIM905
)
OPENINGS = (
    "which", "what", "how", "why", "when", "who", "where", "if", "the", "a", "in", "an", "according", "this", "for",
    "suppose", "find",
)  # fmt: skip
"""How questions begin; the others begin in some other way."""


def split(question: str) -> tuple[str, list[str]]:
    """What is asked, and the choices if there are any."""
    asked, *choices = OPTION.split(question[: 4 * LONGEST])
    most = LONGEST // (len(choices) // 2 or 1)
    return asked[:LONGEST], [choice.removesuffix("\nAnswer:")[:most] for choice in choices[1::2]]


def form(asked: str, choices: Sequence[str]) -> tuple[float, ...]:
    """The numbers of a question; their places are what a trained forest knows them by."""
    low = asked.lower()
    words = WORD.findall(low)
    return (*_size(asked, words), *_words(asked, low, words), *_choices(choices, set(words)))


def _size(asked: str, words: Sequence[str]) -> tuple[float, ...]:
    sentences = SENTENCE.split(asked)
    return (
        log(1 + len(asked)),
        float(len(words)),
        float(len(sentences)),
        float(max(map(_spaces, sentences))),
        float(asked.count(",")),
    )


def _words(asked: str, low: str, words: Sequence[str]) -> tuple[float, ...]:
    count, sizes = len(words) or 1, [len(word) for word in words]
    numbers, figures = NUMBER.findall(asked), sum(map(str.isdigit, asked))
    return (
        len(set(words)) / count,
        sum(sizes) / count,
        sum(size > 9 for size in sizes) / count,
        sum(size <= 3 for size in sizes) / count,
        float(max(sizes, default=0)),
        words.count("the") / count,
        words.count("of") / count,
        sum(word in COMMON for word in words) / count,
        sum(word[:1].isupper() for word in asked.split()[1:]) / count,
        sum(word.endswith(ABSTRACT) for word in words) / count,
        float(len(numbers)),
        float(figures),
        figures / (len(asked) or 1),
        float(SUPPOSED.search(low) is not None),
        float(next((at for at, word in enumerate(OPENINGS, 1) if low.startswith(f"{word} ")), 0)),
        float(asked.rstrip().endswith("?")),
    )


def _choices(choices: Sequence[str], asked: set[str]) -> tuple[float, ...]:
    """How long they are, what is in them, and how far they repeat each other and the question; zeros without any."""
    if not choices:
        return (0.0,) * 23
    lows, sizes = [choice.lower() for choice in choices], [len(choice) for choice in choices]
    whole, count, mean = "\n".join(lows), len(choices), sum(sizes) / len(sizes)
    sets = [set(WORD.findall(choice)) for choice in lows]
    every, shared = set[str]().union(*sets), set.intersection(*sets)
    overlaps = [len(one & asked) / (len(one) or 1) for one in sets]
    letters, numbers = [len(word) for one in sets for word in one], NUMBER.findall(whole)
    return (
        float(count),
        log(1 + mean),
        float(max(sizes)),
        log(1 + min(sizes)),
        log(1 + max(sizes) - min(sizes)),
        sqrt(sum((size - mean) ** 2 for size in sizes) / count) / (mean + 1),
        float(sizes.index(min(sizes))),
        sum(overlaps) / count,
        max(overlaps),
        float(len(every & asked)),
        len(shared) / (len(every) or 1),
        len(every) / (len(letters) or 1),
        len(letters) / count,
        sum(letters) / (len(letters) or 1),
        float(max(letters, default=0)),
        sum(word in COMMON for one in sets for word in one) / (len(letters) or 1),
        float(sum(any(map(str.isdigit, choice)) for choice in choices)),
        float(len(numbers)),
        log(1 + min(LARGEST, max(map(_value, numbers), default=0.0))),
        float(len(SIGN.findall(whole))),
        float(len({choice.split(" ", 1)[0] for choice in lows})),
        whole.count(",") / count,
        float(len(DENIED.findall(whole))),
    )


def _value(number: str) -> float:
    """1,250 is read as a thousand and more; of what is no number, such as 1.2.3, the beginning counts."""
    whole, _, part = number.replace(",", "").partition(".")
    return float(f"{whole}.{part.partition('.')[0]}")


def _spaces(text: str) -> int:
    return text.count(" ") + 1
