"""A `Ragkit` for callers without its event loop: synchronous code, other threads, other loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ragkit.errors import ConfigError
from ragkit.rag import Ragkit
from ragkit.settings import Settings

T = TypeVar("T")
Work = Callable[[Ragkit], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Link:
    """A `Ragkit` and the event loop that it was opened in; work on it is always done there."""

    rag: Ragkit
    loop: asyncio.AbstractEventLoop

    @classmethod
    def to(cls, rag: Ragkit | Link) -> Link:
        """A link to a `Ragkit` of the running loop, or the link that somebody already has."""
        if isinstance(rag, Link):
            return rag
        loop = _running()
        if loop is None:
            raise ConfigError("no event loop runs here: open the index with ragkit.adapters.blocking.open_blocking")
        return cls(rag, loop)

    async def run(self, work: Work[T]) -> T:
        """The result of the work, for a caller in any loop; if the caller is cancelled, so is the work."""
        if _running() is self.loop:
            return await work(self.rag)
        return await asyncio.wrap_future(self._submit(work))

    def wait(self, work: Work[T]) -> T:
        """The result of the work, for a caller that can wait for it."""
        if _running() is self.loop:
            raise ConfigError("an event loop cannot wait for itself: await the asynchronous method instead")
        future = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _submit(self, work: Work[T]) -> Future[T]:
        if self.loop.is_closed():
            raise ConfigError("the index is closed: use it within the block that opened it")

        async def result() -> T:
            return await work(self.rag)

        return asyncio.run_coroutine_threadsafe(result(), self.loop)


@contextmanager
def open_blocking(where: Settings | Path | str | None = None) -> Iterator[Link]:
    """As `Ragkit.open`, in an event loop of its own in a thread, until the block ends."""
    ready: Future[tuple[Link, asyncio.Event]] = Future()
    with ThreadPoolExecutor(1, "ragkit") as thread:
        served = thread.submit(asyncio.run, _serve(where, ready))
        link, stopping = ready.result()
        try:
            yield link
        finally:
            link.loop.call_soon_threadsafe(stopping.set)
            served.result()


async def _serve(where: Settings | Path | str | None, ready: Future[tuple[Link, asyncio.Event]]) -> None:
    stopping = asyncio.Event()
    try:
        async with Ragkit.open(where) as rag:
            ready.set_result((Link(rag, asyncio.get_running_loop()), stopping))
            await stopping.wait()
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
