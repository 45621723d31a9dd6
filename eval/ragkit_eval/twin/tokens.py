"""The twin's own tokenizer: deterministic, reversible and additive, so that cached and uncached parts add up.

It cuts runs of letters at a width that differs by family: Claude 4.7 and later yield about 30 % more tokens than the
others for one text. It is no copy of any real vocabulary.
"""

from __future__ import annotations

import re
from functools import lru_cache

NARROW = 4
"""Letters per token of Claude 4.7 and later."""
WIDE = 6
"""Letters per token of every other model."""


@lru_cache
def _pattern(width: int) -> re.Pattern[str]:
    return re.compile(rf"[ \t]?[A-Za-z0-9_]{{1,{width}}}|[ \t]?\w{{1,2}}|[ \t]?([^\w\s])\1{{0,3}}|\s+")


def pieces(text: str, width: int) -> tuple[str, ...]:
    """The tokens of a text; joined they are the text."""
    return tuple(match.group() for match in _pattern(width).finditer(text))


@lru_cache(maxsize=4096)
def count(text: str, width: int) -> int:
    """How many tokens a text has; prefixes come again and again, hence the memory."""
    return sum(1 for _ in _pattern(width).finditer(text))
