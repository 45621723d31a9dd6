"""Keeps the garbage collector from stopping everybody.

Looking through all that a service has loaded takes it a third of a second, in which nothing else moves. What has
survived such a look is there to stay and is not looked through again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

LONGEST = 0.01
"""Seconds that a look through everything may take."""


class Pauses:
    """A callback of the garbage collector; `frozen` counts how often it had to step in."""

    def __init__(self, clock: Callable[[], float] = time.thread_time, freeze: Callable[[], None] = gc.freeze) -> None:
        self._clock = clock
        self._freeze = freeze
        self._began = 0.0
        self.frozen = 0

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = self._clock()
        elif about["generation"] == 2 and self._clock() - self._began > LONGEST:
            self._freeze()
            self.frozen += 1


def shorten() -> None:
    """Look through everything once, now that nobody waits, and from here on only through what is new."""
    gc.collect()
    gc.freeze()
    gc.callbacks.append(Pauses())
