"""What the retry wrapper is given and what it reports: a policy, calls to make, attempts that were made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ragkit.nouns import Completion, EventKind, Lane, Usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Policy:
    """How calls are tried again; times in seconds.

    `attempts` is per model. `idle` is the longest gap within a stream. `drain` is how long a call that nobody waits for
    any more may still run to its end, so that its price is known. `retry_share` and `retry_reserve` bound the
    retries of a provider to a share of its calls and a few more.
    """

    attempts: int = 2
    deadline: float = 120.0
    timeout: float = 60.0
    idle: float = 30.0
    drain: float = 5.0
    backoff: float = 0.5
    longest_backoff: float = 8.0
    retry_share: float = 0.2
    retry_reserve: float = 3.0
    breaker_failures: int = 5
    breaker_pause: float = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call that was made, for the receipt. `usage` of None means that nobody knows what it cost.

    `simulated` says that a simulation has answered, also where no `request_id` tells it. `number` counts the attempts
    of one logical call. `outcome` is `ok`, `cancelled` or the name of an error.
    """

    kind: EventKind
    provider: str
    model: str
    usage: Usage | None
    seconds: float
    number: int
    reason: str
    outcome: str
    lane: Lane = "standard"
    estimated: bool = False
    request_id: str | None = None
    reported_pico: int | None = None
    simulated: bool = False


Record = Callable[[Attempt], None]


@dataclass(slots=True)
class Meter:
    """What a running call has learnt about its cost; the call writes, the wrapper reads, however the call ends.

    `committed` forbids another attempt, for the caller has seen a part of this one. `abandoned` tells the call that
    nobody waits for it any more.
    """

    usage: Usage | None = None
    estimated: bool = False
    lane: Lane = "standard"
    request_id: str | None = None
    reported_pico: int | None = None
    simulated: bool = False
    committed: bool = False
    abandoned: bool = False

    def answered(self, completion: Completion) -> None:
        """An answer tells what it cost itself."""
        self.usage, self.estimated, self.lane = completion.usage, False, completion.lane
        self.request_id, self.reported_pico = completion.request_id, completion.reported_pico


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One way to a result; `run` gets a meter to fill and the seconds that it has.

    `before` is awaited before each attempt, to hold its money; what it raises ends the round, and nothing was sent.
    """

    provider: str
    model: str
    run: Callable[[Meter, float], Awaitable[T]]
    kind: EventKind = "generate"
    lane: Lane = "standard"
    before: Callable[[], Awaitable[None]] | None = None
