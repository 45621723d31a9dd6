"""The gate before a provider: a breaker that leaves a broken one alone, and a budget that keeps retries few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "probing"]

MOST_SAVED = 10.0
QUIET_SECONDS = 60.0


class Gate:
    """`closed` lets calls through; after failures in a row it is `open` for a pause, then lets one through to probe.

    Retries are paid from a budget: it starts with a reserve, every call adds a share of one, every retry takes one, and
    a minute without retries fills the reserve up again. So calls in an outage stay below (1 + share) times the
    incoming ones and the reserve.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        failures: int = 5,
        pause: float = 30.0,
        share: float = 0.2,
        reserve: float = 3.0,
    ) -> None:
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._share = share
        self._reserve = reserve
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._saved = reserve
        self._retried = clock()

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "probing" if self._probing else "open"

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    @property
    def pause_left(self) -> float:
        """Seconds until a call may probe."""
        return 0.0 if self._opened is None else max(0.0, self._opened + self._pause - self._clock())

    @property
    def retries_left(self) -> float:
        quiet = self._clock() - self._retried >= QUIET_SECONDS
        return max(self._saved, self._reserve) if quiet else self._saved

    def admit(self) -> bool:
        """Whether a call may go out now; who is let through reports `succeed`, `fail` or `release`."""
        if self._opened is None:
            return True
        if self._probing or self.pause_left > 0:
            return False
        self._probing = True
        return True

    def succeed(self) -> None:
        self._failures, self._opened, self._probing = 0, None, False

    def fail(self) -> None:
        self._failures += 1
        if self._probing or (self._opened is None and self._failures >= self._limit):
            self._opened = self._clock()
        self._probing = False

    def release(self) -> None:
        """The call ended without telling whether the provider works."""
        self._probing = False

    def count_call(self) -> None:
        self._saved = min(self.retries_left + self._share, max(MOST_SAVED, self._reserve))

    def may_retry(self) -> bool:
        """Take one retry from the budget, if there is one."""
        left = self.retries_left
        if left < 1:
            return False
        self._saved, self._retried = left - 1, self._clock()
        return True
