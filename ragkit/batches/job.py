"""The values of the batch lane: a job of questions, its parts (one batch of a provider each) and its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ragkit.money import format_usd
from ragkit.nouns import Account, Hit, Request, Route
from ragkit.savings import Counterfactual

JobKind = Literal["questions", "contexts", "vectors"]
JobState = Literal["open", "cancelling", "done", "refused"]
ItemState = Literal["new", "ready", "planned", "live", "asking", "answered", "failed"]
"""`planned` belongs to a part, `live` is to be asked on the live lane, `asking` is being asked there; `answered` and
`failed` are final."""
PartState = Literal["planned", "submitting", "submitted", "collected", "refused", "dropped"]
"""`submitting` may or may not have arrived. `refused` by a budget, `dropped` by the provider or by its user."""
FREE = format_usd(0)


@dataclass(frozen=True, slots=True)
class Question:
    """A line of a batch: `id` is the caller's own and unique in the job.

    In a job of another kind `id` is the name of what is asked for, and `text` says to people what it is.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Job:
    """Items of one kind, submitted together. `schema` names the caller's schema, `digest` tells equal jobs apart."""

    id: str
    account: Account
    at: datetime
    k: int
    filters: tuple[tuple[str, str], ...] = ()
    schema: str = ""
    digest: str = ""
    deadline: datetime | None = None
    state: JobState = "open"
    reason: str = ""
    kind: JobKind = "questions"


@dataclass(frozen=True, slots=True)
class Part:
    """One batch at a provider; its id is also the marker that is left there.

    `sent` is when it was first tried, `rejected` are batches that were taken for it and turned out to be others'.
    """

    id: str
    job: str
    provider: str
    model: str
    state: PartState = "planned"
    remote: str = ""
    sent: datetime | None = None
    ended: datetime | None = None
    cancelled: bool = False
    rejected: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What must be remembered of a prepared question until its answer comes."""

    request: Request
    route: Route
    hits: tuple[Hit, ...]
    notes: tuple[str, ...]
    compared: Counterfactual | None


@dataclass(frozen=True, slots=True)
class Item:
    """A question on its way. `hold_pico` is what its hold `hold` sets aside, `receipt` the id that bills it once.

    `answer` has the shape of `ragkit ask --json`; of an item that failed after it was billed, only the receipt.
    """

    job: str
    number: int
    question: Question
    state: ItemState = "new"
    part: str = ""
    attempt: int = 1
    hold_pico: int = 0
    answer: Mapping[str, Any] | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of its line in the batch."""
        return f"{self.part}-{self.number}"

    @property
    def hold(self) -> str:
        return f"{self.job}-{self.number}"

    @property
    def receipt(self) -> str:
        return f"{self.job}{self.number:08x}"

    @property
    def live(self) -> str:
        """The purchase that asks it on the live lane."""
        return f"{self.receipt}-live{self.attempt}"


def paid(item: Item) -> bool:
    """Whether it was paid for, or may have been; what failed at no cost can be asked for again."""
    return item.answer is not None and item.answer["receipt"]["cost_usd"] != FREE
