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
from ragkit.errors import WorkerLost

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


class _Lost(Exception):
    """The process ended; `blamed` says that it was at work on this."""

    def __init__(self, *, blamed: bool) -> None:
        super().__init__()
        self.blamed = blamed


class _Process:
    """Does one piece of work after the other, in the order in which they come.

    `owed` counts what it has not answered yet, also to those who have stopped waiting.
    """

    def __init__(self) -> None:
        self.owed = 0
        self._child: Child | None = None
        self._closed = False
        self._starting = asyncio.Lock()
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reading: asyncio.Task[None] | None = None

    async def run(self, call: Callable[[], Any]) -> Any:
        """The outcome. What a process was at work on when it ended is tried once more, what stood behind it again."""
        payload, blamed = pickle.dumps(call, pickle.HIGHEST_PROTOCOL), 0
        while True:
            try:
                done, outcome = pickle.loads(await self._ask(payload))  # noqa: S301 - from a process of ours
            except _Lost as lost:
                blamed += lost.blamed
                if blamed == TRIES:
                    message = "a process that computes for questions was killed twice: see that it has memory enough"
                    raise WorkerLost(message) from lost
                continue
            if done:
                return outcome
            raise outcome

    async def close(self) -> None:
        async with self._starting:
            self._closed = True
        if self._child is not None:
            await self._child.close()
        if self._reading is not None:
            await self._reading

    async def _ask(self, payload: bytes) -> bytes:
        self.owed += 1
        try:
            async with self._starting:
                if self._closed:
                    raise WorkerLost("nothing is computed any more: this is being closed")
                if self._child is None:
                    self._child = await begin(WORKER)
                    self._reading = asyncio.create_task(self._read(self._child))
        except BaseException:
            self.owed -= 1
            raise
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._child.say(payload)
        return await answer

    async def _read(self, child: Child) -> None:
        """Give out the answers until there are none; who has stopped waiting for one is still sent it."""
        with suppress(EOFError):
            while True:
                outcome = await child.answer()
                self.owed -= 1
                if not (waiting := self._waiting.popleft()).done():
                    waiting.set_result(outcome)
        lost, self._waiting, self._child = self._waiting, deque(), None
        self.owed -= len(lost)
        for place, waiting in enumerate(lost):
            if not waiting.done():
                waiting.set_exception(_Lost(blamed=place == 0))
        await child.close()
