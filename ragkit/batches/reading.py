"""What the adapters of batch APIs share: results that say what is wrong with them instead of stopping the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ragkit.batch import Result
from ragkit.errors import ProviderError
from ragkit.nouns import Completion
from ragkit.providers.sdk import UNREADABLE
from ragkit.providers.wire import LONGEST_QUOTE


def completed(name: str, read: Callable[[], Completion]) -> Result:
    """A completion at batch price; one that cannot be read is a result too, or it would hold up all behind it."""
    try:
        return Result(name, replace(read(), lane="batch"))
    except ProviderError as error:
        return Result(name, reason=str(error), unreadable=error.usage is None)
    except UNREADABLE as error:
        return Result(name, reason=f"the answer cannot be read: {type(error).__name__}", unreadable=True)


def refused(name: str, message: object, *, again: bool) -> Result:
    """A line that failed, which is free."""
    words = " ".join(str(message or "no reason given").split())[:LONGEST_QUOTE]
    return Result(name, reason=f'the provider says "{words}"', again=again)
