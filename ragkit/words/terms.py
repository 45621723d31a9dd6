"""A word as lexical search knows it."""

from __future__ import annotations

from collections.abc import Callable

from ragkit.words.bm25 import encode_query
from ragkit.words.memo import Memo

MOST_WORDS = 100_000
"""Different words that are kept with their terms: about 15 MiB."""


def _term(word: str) -> int:
    return next(iter(encode_query(word).indices), 0)


term: Callable[[str], int] = Memo(_term, MOST_WORDS).__getitem__
"""The number of a word in lower case, 0 where it only carries grammar."""
