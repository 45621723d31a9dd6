"""How much a stronger model would gain on a question: from its words and its form, never from chunks or instructions.

Hashed words and pairs of words go through two linear models, which guess how often a strong and a weak model are right
on questions of this kind. A forest takes those guesses with the form and tells the chances of the outcomes, whose
difference is the gain. `ragkit.routing.fit` trains both. What they have seen little of is judged by a few marks instead
that hold for all subjects. Pure Python, well under a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, sqrt
from zlib import crc32

from ragkit.routing.forest import Forest
from ragkit.routing.form import LONGEST, form, split

FLOORS = (0.15, 0.28)
MARKS = (-3.840, 0.989, 0.948, 1.278, 0.744)
"""Log odds that a question is complex: at the start, for the logarithm of its words, for each `OF`, where it compares,
and where it asks for what belongs to something. `bench/train_router.py` fits them, none below zero, to questions to
documents that were labelled simple or complex.
"""
MOST_OF = 4
COMPLEX_SHARE = 0.2
SIMPLE_GAIN, COMPLEX_GAIN = 0.08, 0.27
"""How many questions are complex, and what a strong model gains on them: assumptions.

That several passages are needed says that a small model may fail, not that the largest one is needed. So without
outcomes of such questions the marks alone send nobody there: even the most complex one stays below its floor.
"""
BITS = 16
BUCKETS = 1 << BITS

TOKEN = re.compile(r"\w+|[^\w\s]")
COMPARE = re.compile(
    r"\b(?:compar\w+|differen\w+|versus|vs|both|contrast|trade-?offs?|better|worse|than|same|similar\w*)\b",
    re.IGNORECASE,
)
COMPOSE = re.compile(
    r"\b(?:why|how (?:do|does|did|should|would|can)|explain|summar\w+|describe|design|plan|recommend|prove|derive|"
    r"analy[sz]e|evaluate|list all|step by step|outline|write|implement)\b",
    re.IGNORECASE,
)
POSSESSIVE = re.compile(r"'s\b")
OF = re.compile(r"\b(?:of the|of|by|from|whose|where|that|which|who)\b")


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a strong model would gain, and what stands out, in words."""

    score: float = 0.0
    reason: str = "nothing is known of the question"


@dataclass(frozen=True, slots=True)
class Features:
    """A question as buckets of the tables, for its words, and as numbers, for its form.

    `choices` tells whether it offers answers to choose from.
    """

    words: tuple[int, ...]
    form: tuple[float, ...]
    choices: bool


@dataclass(frozen=True, slots=True)
class Lines:
    """Two linear models over words as small integers, `scale` of which make one.

    `rarity` tells how much a word weighs: the fewer questions had it, the more.
    """

    strong: Sequence[int]
    weak: Sequence[int]
    rarity: bytes
    scale: float
    bias: tuple[float, float]

    def guess(self, words: Sequence[int]) -> tuple[float, float, float]:
        """How often a strong and a weak model are right where these words are, and the difference."""
        size = sqrt(sum([rare * rare for rare in map(self.rarity.__getitem__, words)])) or 1.0
        strong = self.bias[0] + sum(map(self.strong.__getitem__, words)) * self.scale / size
        weak = self.bias[1] + sum(map(self.weak.__getitem__, words)) * self.scale / size
        return strong, weak, strong - weak


@dataclass(frozen=True, slots=True)
class Scorer:
    """What was learnt of a strong and a weak model; `floors` are the scores that need the medium and the large tier.

    `known` tells how much of it to believe: of questions without choices, and of those with choices.
    """

    lines: Lines
    forest: Forest
    known: tuple[float, float] = (1.0, 1.0)
    floors: tuple[float, float] = FLOORS

    def score(self, features: Features) -> tuple[float, float]:
        """The chances that a strong and that a weak model answer rightly."""
        both, strong, weak, _ = self.forest.chances((*features.form, *self.lines.guess(features.words)))
        return both + strong, both + weak


def assess(question: str, scorer: Scorer) -> Complexity:
    """How hard a question is for a weak model alone."""
    (stem, choices), marked = split(question), marks(question)
    known, gain = scorer.known[bool(choices)], usual(marked)
    if known:
        strong, weak = scorer.score(_features(stem, choices))
        gain = known * (strong - weak) + (1 - known) * gain
    return Complexity(gain, _in_words(question, marked, choices=bool(choices)))


def usual(marked: Sequence[float]) -> float:
    """The gain to expect by the marks, without any training."""
    odds = MARKS[0] + sum(map(float.__mul__, MARKS[1:], marked)) + log(COMPLEX_SHARE / (1 - COMPLEX_SHARE))
    return SIMPLE_GAIN + (COMPLEX_GAIN - SIMPLE_GAIN) / (1 + exp(-odds))


def marks(question: str) -> tuple[float, ...]:
    """What makes a question complex whatever it is about, each as a number that grows with it."""
    question = question[:LONGEST]
    return (
        log(1 + len(question.split())),
        float(min(MOST_OF, len(OF.findall(question)))),
        float(COMPARE.search(question) is not None),
        float(POSSESSIVE.search(question) is not None),
    )


def features(question: str) -> Features:
    """Words, pairs and the words of choices on one side, the form on the other."""
    return _features(*split(question))


def _features(stem: str, choices: Sequence[str]) -> Features:
    asked, options = _tokens(stem), [_tokens(choice) for choice in choices]
    names = [*asked, *(f"{a} {b}" for a, b in pairwise(asked))]
    names += [f"^{' '.join(asked[:n])}" for n in (1, 2, 3)] + [f"{' '.join(asked[-n:])}$" for n in (1, 2, 3)]
    for option in options:
        names += option
        names += [f"|{word}" for word in option]
        names += [f"|{a} {b}" for a, b in pairwise(option)]
    return Features(_buckets(names), form(stem, choices), bool(choices))


def _tokens(text: str) -> list[str]:
    """Words and signs; which number it is tells nothing."""
    return ["#" if token.isdigit() else token for token in TOKEN.findall(text.lower())]


def _buckets(names: Sequence[str]) -> tuple[int, ...]:
    return tuple({crc32(name.encode("utf-8", "surrogatepass")) & (BUCKETS - 1) for name in names})


def _in_words(question: str, marked: Sequence[float], *, choices: bool) -> str:
    """What stands out about a question, for the reason of a route."""
    stem, (_, of, compares, _) = question[:LONGEST], marked
    standing_out = [
        (choices, "has choices"),
        (compares > 0, "compares"),
        (COMPOSE.search(stem) is not None, "asks for an explanation or a text"),
        (of > 2, "asks through something else"),
        (sum(map(str.isdigit, stem)) > 6, "has many numbers"),
        (len(stem) > 400, "is long"),
    ]
    words = [words for holds, words in standing_out if holds]
    return f"the question {' and '.join(words[:2])}" if words else "the question is plain"
