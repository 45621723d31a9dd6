"""The seam to generators. Adapters live in `ragkit.providers`, one file per system; they translate and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from ragkit.nouns import Completion, Request, Usage


@dataclass(frozen=True, slots=True)
class Started:
    """The provider has taken a stream up, and calls it so on its invoice."""

    request_id: str | None


Piece = str | Started | Usage | Completion


class Provider(Protocol):
    """Turns a request into a completion whose text obeys the request's schema.

    Usage is complete and disjoint. Raises `ProviderError` and its subclasses only, each with the usage that the failed
    call was billed for: none, a number of tokens, or unknown.
    """

    name: str

    async def complete(self, request: Request) -> Completion: ...

    def stream(self, request: Request) -> AsyncIterator[Piece]:
        """Pieces of the text as they come, then the same `Completion` that `complete` would have returned.

        `Started` comes first, so that also a stream that nobody reads to its end is found on the invoice. A `Usage` in
        between is what the provider has reported so far; it prices a stream that is cut. An empty piece is a sign of
        life, as while a model thinks.
        """
        ...

    async def aclose(self) -> None: ...
