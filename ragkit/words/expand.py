"""A question's terms and the names that its best hits mention, for a second search."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

from ragkit.nouns import Hit, Sparse
from ragkit.words.memo import Memo
from ragkit.words.terms import term
from ragkit.words.text import lower_tokens, stems, words
from ragkit.words.wordlist import weight

LEADERS = 8
"""Of so many of the best hits names are taken."""

NAMES = 30
"""Words of names that are searched for."""

MOST_WORDS = 50_000
"""Words of names whose rarity is kept."""

WEIGHT = 0.5
"""What the most mentioned word of a name weighs, where a word of the question weighs 1."""

_NAME = re.compile(r"[A-Z][\w'\u2019.-]*\w(?:\s+(?:(?:of|the|de)\s+){0,2}[A-Z0-9][\w'\u2019-]*)*")


def expand(terms: Sparse, question: str, hits: Sequence[Hit]) -> Sparse:
    """`terms` and words of names in the best hits, better hits first; `terms` itself where there are none."""
    asked = set(words(question))
    worth: dict[str, float] = defaultdict(float)
    for rank, hit in enumerate(hits, start=1):
        for word in _words_of_names(f"{hit.chunk.title}\n{hit.chunk.text}"):
            worth[word] += 1 / rank
    telling = sorted([(-value * rarity, word) for word, value in worth.items() if (rarity := _rarity[word])])
    chosen = list(islice((word for _, word in telling if term(word) and asked.isdisjoint(stems(word))), NAMES))
    weights = dict(zip(terms.indices, terms.values, strict=True))
    top = max((worth[word] for word in chosen), default=1.0)
    for word in chosen:
        weights.setdefault(term(word), WEIGHT * worth[word] / top)
    return Sparse(tuple(weights), tuple(weights.values())) if chosen else terms


def _words_of_names(text: str) -> set[str]:
    return set(lower_tokens("\n".join(_NAME.findall(text))))


def _tells(word: str) -> float:
    return max(map(weight, stems(word)), default=0.0)


_rarity = Memo(_tells, MOST_WORDS)
