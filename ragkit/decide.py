"""The seam to decisions endpoints, where a model answers with chances instead of text.

Adapters live in `ragkit.deciders`, one file per system; they translate and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ragkit.nouns import Usage

SUFFIX = "-decisions"
"""Ends the name of a model that writes text as well, where its decisions endpoint is meant: it has another price."""


@dataclass(frozen=True, slots=True)
class Rating:
    """A text to be rated; `levels` are the steps of the scale with what they mean, lowest first.

    `timeout` is in seconds.
    """

    model: str
    instructions: str
    levels: Mapping[str, str]
    text: str
    timeout: float

    @property
    def served(self) -> str:
        """The model as its provider calls it."""
        return self.model.removesuffix(SUFFIX)


@dataclass(frozen=True, slots=True)
class Rated:
    """The chance of each level, none where the model refuses to rate; and what it was billed."""

    chances: Mapping[str, float]
    usage: Usage
    request_id: str | None = None


class Decider(Protocol):
    """Rates texts. Raises `ProviderError` and its subclasses only, each with the usage that the call was billed for."""

    name: str

    async def rate(self, rating: Rating) -> Rated: ...

    async def aclose(self) -> None: ...
