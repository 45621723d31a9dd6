"""The seam to batch APIs: half price, answers within a day. Adapters live in `ragkit.batches`, one file per system."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from ragkit.nouns import Completion, Request

Progress = Literal["running", "ended", "failed"]
"""`failed` is a batch that was refused as a whole, after it had been accepted: nothing of it was worked off."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one batch may hold."""

    requests: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch, as it goes over the wire; `name` is unique and comes back with the result."""

    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progressing:
    """How far a batch is. `ended` is when the provider was done with it, by its own clock."""

    progress: Progress
    total: int = 0
    done: int = 0
    ended: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a line: a completion, or why there is none, which is not billed.

    `again` says that the same line may succeed in another batch. `unreadable` is an answer that was paid for and
    cannot be read, so that nobody knows its cost.
    """

    name: str
    completion: Completion | None = None
    reason: str = ""
    again: bool = False
    unreadable: bool = False


class BatchApi(Protocol):
    """A provider's batches. Raises `ProviderError` only; one with `sent` False, or a refusal, has created nothing."""

    name: str
    limits: Limits

    def body(self, request: Request) -> Mapping[str, Any]:
        """The request as a line of a batch."""
        ...

    async def submit(self, marker: str, model: str, lines: Sequence[Line]) -> str:
        """Create one batch and return its id; `marker` is left on it where the provider has a place for that."""
        ...

    async def find(self, marker: str, size: int, since: datetime) -> tuple[str, ...]:
        """Ids of the batches that a `submit` may have created whose answer was lost, the likeliest first.

        Where batches carry no marker these are all of that size that were created since; their results tell.
        """
        ...

    async def progress(self, batch_id: str) -> Progressing: ...

    def results(self, batch_id: str) -> AsyncIterator[Result]:
        """Results of an ended batch, in any order; lines that were never worked off may be missing."""
        ...

    async def cancel(self, batch_id: str) -> None:
        """Ask the provider to stop; what is worked off by then is kept and billed."""
        ...

    async def aclose(self) -> None: ...
