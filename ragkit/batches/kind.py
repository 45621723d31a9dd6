"""The seam between the lane and what its items are: the lane moves, holds and bills them, and knows nothing of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ragkit.batches.beside import JournalThread
from ragkit.batches.job import Asked, Item, Job
from ragkit.batches.plan import Candidate
from ragkit.checkout import Payer
from ragkit.nouns import Completion, EventKind, Receipt

Written = Callable[[Receipt, Mapping[str, float]], Mapping[str, Any]]
"""From receipt and seconds to what an item keeps as its answer; the receipt is always in it."""


class Kind(Protocol):
    """What the items of a job are for; `event` is what their rows on receipts are called."""

    @property
    def event(self) -> EventKind: ...

    async def prepare(self, item: Item, job: Job) -> Asked | Mapping[str, Any]:
        """An item up to its request, or its answer where that costs nothing.

        Raises `InvalidAnswer` or `Refused` for one that a free model failed; the others go on.
        """
        ...

    def share(self, group: Sequence[Candidate], payer: Payer) -> list[Candidate]:
        """The items of one model as they go out together."""
        ...

    def read(self, completion: Completion, asked: Asked) -> Written:
        """What a result is worth; `InvalidAnswer` for one that was paid for and is of no use."""
        ...

    async def ask(self, item: Item, asked: Asked, job: Job) -> Mapping[str, Any]:
        """The answer on the live lane, as the purchase `item.live`."""
        ...

    async def deliver(self, job: Job, journal: JournalThread) -> None:
        """Take what has been answered to where it belongs; done again after a crash."""
        ...
