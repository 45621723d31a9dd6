"""Keeps the garbage collector from stopping everybody.

Looking through all that a service has loaded takes it a third of a second, in which nothing else moves. What has
survived such a look is set aside and is not looked through again, until the hour is over: by then some of it is
garbage, which nobody would ever find. So the next look that goes through everything goes through that, too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Protocol

SETTLED = 60.0
"""Seconds after which a service has loaded what its first questions need."""
EVERY = 3600.0


class Collector(Protocol):
    """What is asked of the garbage collector."""

    def freeze(self) -> None: ...

    def unfreeze(self) -> None: ...


class Pauses:
    """A callback of the garbage collector; `frozen` counts how often everything was looked through and set aside."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, collector: Collector = gc) -> None:
        self._clock = clock
        self._collector = collector
        self._due = clock() + SETTLED
        self._thawed = False
        self.frozen = 0

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        if about["generation"] != 2:
            return
        if phase == "start" and self._clock() >= self._due:
            self._collector.unfreeze()
            self._thawed = True
        elif phase == "stop" and self._thawed:
            self._collector.freeze()
            self._due = self._clock() + EVERY
            self._thawed = False
            self.frozen += 1


def shorten() -> None:
    """Look through everything once, now that nobody waits, and from here on only through what is new."""
    gc.collect()
    gc.freeze()
    gc.callbacks.append(Pauses())
