"""Where the computing of a question is done: at once, in a thread of a server, or in a process beside it.

Threads take turns: while one computes, the event loop waits for its turn after every call of the system. A process
costs half a millisecond for what is sent to it, and leaves the event loop and another core to everybody else.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from ragkit.child import Child, begin
from ragkit.errors import RagkitError

P = ParamSpec("P")
T = TypeVar("T")

WORKER = "ragkit.worker"
TRIES = 2


class Compute(Protocol):
    """Does some work and returns its outcome. The work is pure, and it and all that it takes can be sent away."""

    async def __call__(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T: ...


async def at_once(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Where one question is answered at a time nothing is gained by a thread."""
    return work(*args, **named)


@asynccontextmanager
async def in_thread() -> AsyncIterator[Compute]:
    """In one thread, so that the event loop goes on meanwhile. More of them are no faster: they take turns."""
    with ThreadPoolExecutor(1, "ragkit-compute") as thread:

        async def compute(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
            return await asyncio.get_running_loop().run_in_executor(thread, partial(work, *args, **named))

        yield compute


@asynccontextmanager
async def in_processes(count: int) -> AsyncIterator[Compute]:
    """In processes, each started with the first work that it gets; a killed one is replaced."""
    crew = [_Process() for _ in range(count)]

    async def compute(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        freest = min(crew, key=lambda process: process.owed)
        return cast("T", await freest.run(partial(work, *args, **named)))

    try:
        yield compute
    finally:
        await asyncio.gather(*(process.close() for process in crew))


class _Process:
    """Does one piece of work after the other, in the order in which they come."""

    def __init__(self) -> None:
        self.owed = 0
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reading: asyncio.Task[None] | None = None

    async def run(self, call: Callable[[], Any]) -> Any:
        """The outcome; work whose process was killed is done once more, for it may not have been to blame."""
        payload = pickle.dumps(call, pickle.HIGHEST_PROTOCOL)
        self.owed += 1
        try:
            done, outcome = pickle.loads(await self._insist(payload))  # noqa: S301 - from a process of ours
        finally:
            self.owed -= 1
        if done:
            return outcome
        raise outcome

    async def close(self) -> None:
        if self._reading is not None and self._child is not None:
            child, self._child = self._child, None
            await child.close()
            await self._reading

    async def _insist(self, payload: bytes) -> bytes:
        for _ in range(TRIES):
            with suppress(EOFError):
                return await self._ask(payload)
        raise RagkitError("a process that computes for questions was killed twice: see that it has memory enough")

    async def _ask(self, payload: bytes) -> bytes:
        async with self._starting:
            if self._child is None:
                self._child = await begin(WORKER)
                self._reading = asyncio.create_task(self._read(self._child))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._child.say(payload)
        return await answer

    async def _read(self, child: Child) -> None:
        """Give out the answers until there are none; who has stopped waiting for one is still sent it."""
        with suppress(EOFError):
            while True:
                outcome = await child.answer()
                if not (waiting := self._waiting.popleft()).done():
                    waiting.set_result(outcome)
        lost, self._waiting, self._child = self._waiting, deque(), None
        for waiting in lost:
            if not waiting.done():
                waiting.set_exception(EOFError("the process that computed this has ended"))
        await child.close()
