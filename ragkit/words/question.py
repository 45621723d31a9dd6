"""What a question asks for: its content words, how much each tells, and the kind of answer that it wants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from ragkit.words.text import WORD, stems, words
from ragkit.words.wordlist import weight

Kind = Literal["who", "when", "where", "number", "why", "how", "definition", "list", "polar", "other"]

_MEASURES = "many|much|long|old|far|often|large|big|tall|high|deep|wide|fast|heavy|hot"
_AMOUNTS = r"percent\w*|number|amount|rate|size|cost|price|age|total|proportion"
_TIMES = "year|date|day|month|time|decade|century|period|season"
_PEOPLE = "person|man|woman|king|queen|president|actor|actress|author"
_BODIES = "team|company|organi[sz]ation|group|band|school|university"
_PLACES = "country|city|place|location|state|town|region|continent|county|island|river"
_LISTS = "types|kinds|steps|ways|methods|options|factors|symptoms|parameters"
_THING = r"[\w-]+(?: [\w-]+){0,2}"

_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("number", rf"\bhow (?:{_MEASURES})\b"),
    ("number", rf"\bwhat (?:(?:is|was|are|were) the )?(?:\w+ )?(?:{_AMOUNTS})\b"),
    ("when", rf"\bwhen\b|\b(?:what|which) (?:{_TIMES})\b|\bhow recently\b"),
    ("who", rf"\b(?:who|whom|whose)\b|\b(?:what|which) (?:{_PEOPLE}|{_BODIES})\b"),
    ("where", rf"\bwhere\b|\b(?:what|which) (?:{_PLACES})\b"),
    ("why", r"\bwhy\b|\bhow come\b|\bwhat (?:is |was |are |were )?(?:the )?(?:reason|causes?|caused|purpose)"),
    ("how", r"\bhow (?:do|does|did|can|could|to|should|would|is|are|was|were|has|have)\b"),
    ("list", rf"^(?:list|name)\b|\b(?:what|which) are\b|\b(?:what|which) (?:\w+ )?(?:{_LISTS})\b"),
    ("definition", rf"^(?:so |and )?what(?:'s| is| are| was| were| does)\s+(?:an? |the )?{_THING}(?: mean)?\s*\??$"),
    ("definition", r"\bdefin\w+|\bmeaning of\b|^explain\b|^describe\b"),
    ("polar", r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|should|will|would|may|must)\b"),
)
MEASURE = re.compile(
    r"(?i)\bhow (?:long|old|far|large|big|tall|high|deep|wide|fast|heavy|hot|much)\b"
    r"|\b(?:percent\w*|size|cost|price|age|length|height|width|weight|speed|distance|duration|area|temperature)\b"
)
KINDS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's content words with their weights, in order, and what kind of answer it wants.

    `measure` says that it asks for a quantity with a unit. `marked` are its names and numbers: what is said of another
    name is no answer. `spelled` are the words as they were written.
    """

    kind: Kind
    measure: bool
    order: tuple[str, ...]
    weights: Mapping[str, float]
    stems: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    marked: frozenset[str]
    spelled: Mapping[str, str]


@lru_cache(maxsize=1024)
def ask(question: str) -> Asked:
    """What a question asks for."""
    order = tuple(stem for stem in words(question) if weight(stem) > 0)
    return Asked(
        kind=_kind(question.strip()),
        measure=bool(MEASURE.search(question)),
        order=order,
        weights={stem: weight(stem) for stem in order},
        stems=frozenset(order),
        pairs=frozenset(pair for pair in pairwise(order) if pair[0] != pair[1]),
        marked=_marked(question),
        spelled={stem: token for token in WORD.findall(question) for stem in stems(token)},
    )


def _kind(question: str) -> Kind:
    return next((kind for kind, pattern in KINDS if pattern.search(question)), "other")


def _marked(question: str) -> frozenset[str]:
    tokens = enumerate(WORD.findall(question))
    named = (token for place, token in tokens if (place and token[0].isupper()) or token[0].isdigit())
    return frozenset(stem for token in named for stem in stems(token) if weight(stem) > 0)
