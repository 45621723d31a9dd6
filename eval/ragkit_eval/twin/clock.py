"""The twin's clock: real, frozen or fast, and moved by hand. Lifetimes, retirements and dated prices follow it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class TwinClock:
    """Starts at `start` and runs `rate` seconds per real second; 0 stands still until `advance`."""

    def __init__(
        self, start: datetime | None = None, *, rate: float = 1.0, timer: Callable[[], float] = time.monotonic
    ) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError("the clock's start needs a time zone")
        self._base = (start or datetime.now(UTC)).astimezone(UTC)
        self._timer = timer
        self._began = timer()
        self.rate = rate

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(self._timer() - self._began) * self.rate)

    def advance(self, seconds: float) -> datetime:
        """Move forward and return the new time; what had a lifetime ages with it."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self._base += timedelta(seconds=seconds)
        return self.now()

    def set(self, moment: datetime) -> datetime:
        """Jump to a time, which may lie in the past, as a machine's clock may."""
        self._base = moment.astimezone(UTC)
        self._began = self._timer()
        return self.now()
