"""How good retrieval, context and answers are: pure functions. None means that a metric does not apply."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache

ARTICLES = re.compile(r"\b(?:a|an|the)\b")
MARKS = re.compile(r"[^\w\s]|_")
SUPPORT = 0.6
"""The share of an answer's words within a window of the context from which a long answer counts as contained."""
LONG_ANSWER = 12
"""Words from which an answer is too long to be found word by word."""


def recall_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float | None:
    """The share of the relevant documents among the first k; a document counts where its best chunk stands."""
    if not relevant:
        return None
    return len(set(_distinct(ranking)[:k]) & set(relevant)) / len(set(relevant))


def ndcg_at(ranking: Sequence[str], relevant: Collection[str], k: int) -> float | None:
    if not relevant:
        return None
    documents = _distinct(ranking)[:k]
    gain = sum(1 / math.log2(place + 2) for place, document in enumerate(documents) if document in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, len(set(relevant)))))


def reciprocal_rank(ranking: Sequence[str], relevant: Collection[str]) -> float | None:
    """One over the place of the first relevant document; 0 where none was found."""
    if not relevant:
        return None
    return next((1 / (place + 1) for place, document in enumerate(_distinct(ranking)) if document in relevant), 0.0)


def precision(sources: Sequence[str], relevant: Collection[str]) -> float | None:
    """The share of the chunks that come from a relevant document."""
    if not relevant or not sources:
        return None
    return sum(source in relevant for source in sources) / len(sources)


def answer_in(texts: Sequence[str], answers: Sequence[str]) -> float | None:
    """Whether one of the answers stands in one of the texts: verbatim, or for long ones nearly all of its words."""
    wanted = [words for answer in answers if (words := normal(answer))]
    if not wanted:
        return None
    contents = [normal(text) for text in texts]
    return float(any(_holds(content, answer) for content in contents for answer in wanted))


def exact_match(text: str, answers: Sequence[str]) -> float | None:
    if not answers:
        return None
    return float(any(normal(text) == normal(answer) for answer in answers))


def token_f1(text: str, answers: Sequence[str]) -> float | None:
    """The best F1 of the shared words, as SQuAD counts them."""
    return max((_f1(normal(text), normal(answer)) for answer in answers), default=None)


@lru_cache(maxsize=8192)
def normal(text: str) -> tuple[str, ...]:
    """Words without case, articles and marks; kept a while, since set-ups are scored on the same chunks."""
    plain = MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return tuple(ARTICLES.sub(" ", plain).split())


def _distinct(ranking: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(ranking))


def _f1(words: tuple[str, ...], other: tuple[str, ...]) -> float:
    shared = sum((Counter(words) & Counter(other)).values())
    return 2 * shared / (len(words) + len(other)) if shared else 0.0


def _holds(content: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    if len(answer) < LONG_ANSWER:
        return f" {' '.join(answer)} " in f" {' '.join(content)} "
    wanted, within = Counter(answer), Counter(content)
    return sum((wanted & within).values()) >= SUPPORT * len(answer)
