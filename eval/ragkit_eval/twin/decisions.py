"""What decisions endpoints answer: chances by shared words, so that the same question has the same answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ragkit_eval.twin.vectors import relevance

OFF = 0.5
"""What a broken answer adds to its first chance, so that they make no whole."""


def predicate(question: Mapping[str, Any], text: str) -> float:
    """The chance that a statement about the text holds."""
    (share,) = relevance(json.dumps(question.get("instructions")), [text])
    return round(0.1 + 0.8 * share, 6)


def chances(text: str, options: Sequence[Any], fault: str = "") -> list[float]:
    """The chance of each option; they make a whole unless the script breaks the schema."""
    shares = relevance(text, [json.dumps(option) for option in options])
    whole = sum(shares) + len(shares)
    found = [round((share + 1) / whole, 6) for share in shares]
    return [min(1.0, found[0] + OFF), *found[1:]] if fault == "schema_break" else found


def best_of(found: Sequence[float]) -> int:
    """The place of the likeliest option, the first of equals."""
    return max(range(len(found)), key=lambda place: (found[place], -place))


def expected(found: Sequence[float]) -> float:
    """The mean place of a level."""
    return round(sum(place * chance for place, chance in enumerate(found)), 6)
