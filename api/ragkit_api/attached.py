"""Work that belongs to a connection: it ends when the client leaves, and what it cost by then is settled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from ragkit_api.problem import Problem, body, log_unexpected, reply

T = TypeVar("T")
Emit = Callable[[str, Any], Awaitable[None]]
"""Sends an event with its data; without a name, as OpenAI's streams have none."""
Produce = Callable[[Emit], Coroutine[Any, Any, None]]
CLIENT_GONE = 499
SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}


async def attached(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The outcome of the work, which is cancelled when the client leaves before."""
    task = asyncio.create_task(work)
    if not await _finished(task, request.receive):
        raise Problem(CLIENT_GONE, "client_gone", "the client left before it was answered")
    return await task


class Detached:
    """Work that goes on when its client leaves: who asks again gets its outcome. A stop of the service waits for it."""

    def __init__(self) -> None:
        # An event loop itself does not keep hold of its tasks.
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin work that nobody waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_lost)
        return task

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The outcome of work, for as long as somebody waits for it; how it fails after that goes into the log."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(log_lost)
            raise

    async def ended(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks))


def log_lost(task: asyncio.Task[Any]) -> None:
    """Write down how work failed that nobody waits for any more."""
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        log_unexpected(error)


class EventStream(Response):
    """A stream of events. Nothing is sent before the first one, so that an early error still has its status."""

    media_type = "text/event-stream"

    def __init__(self, produce: Produce, on_error: Callable[[Exception], list[tuple[str, Any]]]) -> None:
        super().__init__()
        self._produce = produce
        self._on_error = on_error
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.create_task(self._run(scope, receive, send))
        if await _finished(task, receive):
            await task

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def emit(name: str, data: Any) -> None:
            await self._start(send)
            await send({"type": "http.response.body", "body": encode(name, data), "more_body": True})

        try:
            await self._produce(emit)
        except Exception as error:
            log_unexpected(error)
            if not self._started:
                await reply(error)(scope, receive, send)
                return
            for name, data in self._on_error(error):
                await emit(name, data)
        await self._start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        if not self._started:
            self._started = True
            headers = [(name.encode(), value.encode()) for name, value in SSE.items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})


def encode(name: str, data: Any) -> bytes:
    """An event as it goes over the wire; text that is no valid Unicode is escaped rather than refused."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def failed(error: Exception) -> list[tuple[str, Any]]:
    """How a stream of ours ends that has begun well."""
    return [("error", body(error)["error"]), ("done", {"complete": False})]


async def _finished(task: asyncio.Task[Any], receive: Receive) -> bool:
    """Wait for the task or for the client to leave, whichever comes first; the task has ended in any case."""
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            task.add_done_callback(log_lost)
        await asyncio.wait({task, gone})
        log_lost(gone)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
