"""Pieces of a text that a cross-encoder can read whole: it would cut off the rest in silence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ragkit.nouns import Hit
from ragkit.rerank import passage

MARKERS = 8
"""Tokens left for what a model puts around a question and a text."""


def windows(text: str, room: int, count: Callable[[str], int]) -> list[str]:
    """The text in pieces of at most `room` tokens, cut at blanks where there are any."""
    if count(text) <= room or len(text) < 2:
        return [text]
    middle = len(text) // 2
    blanks = [place for place in (text.rfind(" ", 1, middle), text.find(" ", middle, -1)) if place > 0]
    cut = min(blanks, key=lambda place: abs(place - middle), default=middle)
    return windows(text[:cut], room, count) + windows(text[cut:].lstrip() or text[cut:], room, count)


def pair(question: str, hits: Sequence[Hit], limit: int, count: Callable[[str], int]) -> list[tuple[int, str]]:
    """What to score: for each piece of a hit's passage the hit's place and the piece."""
    room = max(limit - count(question) - MARKERS, limit // 4)
    return [(place, piece) for place, hit in enumerate(hits) for piece in windows(passage(hit.chunk), room, count)]


def best_of(hits: Sequence[Hit], pieces: Sequence[tuple[int, str]], logits: Sequence[float]) -> tuple[Hit, ...]:
    """The hits by their best piece, with logits as chances; equal ones by their id."""
    best = [-math.inf] * len(hits)
    for (place, _), logit in zip(pieces, logits, strict=True):
        best[place] = max(best[place], logit)
    scored = (hit.scored(chance(logit)) for hit, logit in zip(hits, best, strict=True))
    return tuple(sorted(scored, key=lambda hit: (-hit.score, hit.chunk.id)))


def chance(logit: float) -> float:
    """A logit as a number from 0 to 1, without overflow."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))
