"""What the embedded reranker knows of a question and of a chunk before it compares them."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ragkit.words.terms import term
from ragkit.words.text import lower_tokens, stems
from ragkit.words.wordlist import weight

RARITY = 7.0
"""Inverse document frequency of a word that few texts contain; the word list scales it down for common ones."""

FAR = 3
"""Words of a question further apart than this are not a phrase."""

_BRACKETS = re.compile(r"\([^()]*\)")
_NAME = re.compile(r"[A-Z][\w'\u2019.-]*\w(?:\s+(?:(?:of|the|de|and|for)\s+){0,2}[A-Z0-9][\w'\u2019-]*)*")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_ASKED = (
    (re.compile(r"\bhow (?:many|much|old|long|far|large|high)\b|\bpercent", re.I), re.compile(r"\d")),
    (
        re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|month)\b", re.I),
        re.compile(rf"\b(?:{_MONTHS}|1[5-9]\d\d|20\d\d)\b"),
    ),
    (re.compile(r"\bwho(?:m|se)?\b", re.I), re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")),
    (re.compile(r"\bwhere\b", re.I), re.compile(r"\b(?:in|at|from|near|of) (?:the )?[A-Z]")),
)
"""Kinds of questions, and what a text that answers one shows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question's telling terms with their rarity, its phrases (two terms and their distance), numbers and names.

    `spelled` are its words in lower case, by term; in `rarest` the rarest comes first; `sign` finds what an answer of
    the asked kind shows.
    """

    rarity: Mapping[int, float]
    total: float
    phrases: tuple[tuple[int, int, int], ...]
    numbers: frozenset[int]
    named: frozenset[int]
    spelled: Mapping[int, str]
    rarest: tuple[int, ...]
    sign: re.Pattern[str] | None

    def share(self, found: Container[int]) -> float:
        """The part of the question's information that these terms carry."""
        return sum([worth for term, worth in self.rarity.items() if term in found]) / self.total

    def weigh(self, degrees: Sequence[float]) -> float:
        """The same where each of the question's terms, in their order, is found to a degree."""
        return sum([worth * degree for worth, degree in zip(self.rarity.values(), degrees, strict=True)]) / self.total


@dataclass(frozen=True, slots=True)
class Read:
    """A text's words in lower case, their terms, 0 where a word only carries grammar, and those terms as a set."""

    spelled: Sequence[str]
    order: tuple[int, ...]
    terms: Set[int]

    def says(self, phrase: Read) -> bool:
        """Whether the other's terms stand here one after the other, grammar aside."""
        if not phrase.terms or not phrase.terms <= self.terms:
            return False
        wanted, order = tuple(filter(None, phrase.order)), tuple(filter(None, self.order))
        starts = [place for place, term in enumerate(order) if term == wanted[0]]
        return any(order[start : start + len(wanted)] == wanted for start in starts)


def _rarity(token: str) -> float:
    return max(0.3, RARITY * max(map(weight, stems(token)), default=0.0))


def want(question: str) -> Wanted:
    """Read a question; one without a telling word is taken by all of its words."""
    found = [(place, term(token), token) for place, token in enumerate(lower_tokens(question))]
    kept = [(place, number, token) for place, number, token in found if number]
    rarity = {number: _rarity(token) for _, number, token in kept}
    phrases = tuple((a, b, j - i) for (i, a, _), (j, b, _) in pairwise(kept) if j - i <= FAR and a != b)
    inner = question[1:] if question[1:2].islower() else question
    return Wanted(
        rarity=rarity,
        total=sum(rarity.values()) or 1.0,
        phrases=phrases,
        numbers=frozenset(number for _, number, token in kept if token.isdigit()),
        named=frozenset(rarity.keys() & read(" ".join(_NAME.findall(inner))).terms),
        spelled={number: token for _, number, token in kept},
        rarest=tuple(sorted(rarity, key=lambda number: (-rarity[number], number))),
        sign=next((sign for asks, sign in _ASKED if asks.search(question)), None),
    )


@lru_cache(maxsize=1024)
def read(text: str) -> Read:
    """Read a text; popular chunks are met again and again."""
    return _read(lower_tokens(text))


@lru_cache(maxsize=4096)
def read_title(title: str) -> Read:
    """A title without what stands in brackets."""
    return _read(lower_tokens(_BRACKETS.sub(" ", title)))


def _read(spelled: list[str]) -> Read:
    order = tuple(map(term, spelled))
    terms = set(order)
    terms.discard(0)
    return Read(spelled, order, terms)
