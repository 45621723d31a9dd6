"""What deciders share: an answer that cannot be read has been paid for all the same."""

from __future__ import annotations

from collections.abc import Callable

from ragkit.errors import ProviderError
from ragkit.nouns import Usage
from ragkit.providers.sdk import UNREADABLE


def read_chances(
    read: Callable[[], dict[str, float]], provider: str, usage: Usage, request_id: str | None
) -> dict[str, float]:
    """What `read` finds. Raises `ProviderError` with the usage: asking again would buy the same once more."""
    try:
        return read()
    except UNREADABLE as error:
        message = f"{provider} sent decisions that cannot be read: choose another model as [routing] classifier"
        raise ProviderError(message, usage=usage, request_id=request_id) from error
