"""Where the computing of a question is done: at once, or in a thread beside the event loop of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Compute(Protocol):
    """Does some work and returns its outcome."""

    async def __call__(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T: ...


async def at_once(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Where one question is answered at a time nothing is gained by a thread."""
    return work(*args, **named)


@contextmanager
def beside(width: int = 1) -> Iterator[Compute]:
    """In threads, so that the event loop of a server goes on meanwhile. More of them are no faster: they take turns."""
    with ThreadPoolExecutor(width, "ragkit-compute") as threads:

        async def compute(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
            return await asyncio.get_running_loop().run_in_executor(threads, partial(work, *args, **named))

        yield compute
