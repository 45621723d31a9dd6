"""From what a caller gives to a question that may be asked."""

from __future__ import annotations

from collections.abc import Mapping

from ragkit.errors import ConfigError
from ragkit.nouns import Account, Query
from ragkit.settings import Settings

LONGEST_QUESTION = 8_000


def make_query(
    question: str,
    settings: Settings,
    *,
    k: int | None = None,
    filters: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> Query:
    """A question with the settings' tenant and depth where the caller names none; `ConfigError` for one of no use."""
    return Query(
        text=check_question(question),
        account=account or Account(settings.tenant),
        k=settings.retrieval.k if k is None else k,
        filters=tuple(sorted((filters or {}).items())),
    )


def check_question(question: str) -> str:
    """The question without blanks around it."""
    text = question.strip()
    if not text:
        raise ConfigError("the question is empty: ask something")
    if not _is_unicode(text):
        raise ConfigError("the question holds bytes that are not UTF-8: check the encoding of the terminal or file")
    if len(text) > LONGEST_QUESTION:
        raise ConfigError(f"the question has {len(text):,} characters: {LONGEST_QUESTION:,} are allowed")
    return text


def _is_unicode(text: str) -> bool:
    """Half of a surrogate pair stands for a byte that could not be read; no store, model or file takes it."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
