"""A twin running beside a test: in a thread of its own, so that synchronous and asynchronous clients can use it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import uvicorn

from ragkit_eval.twin.clock import TwinClock
from ragkit_eval.twin.faults import Fault, Faults
from ragkit_eval.twin.invoice import Invoice
from ragkit_eval.twin.server import BASE_URLS, build_server
from ragkit_eval.twin.world import Options, Seen, World

HOST = "127.0.0.1"
STARTING_SECONDS = 10


class RunningTwin:
    """Where it listens, and what it knows."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self.url = url

    def base_url(self, protocol: str) -> str:
        """What to give a client: `anthropic`, `openai`, `gemini`, `cohere`, `voyage`, `vllm` and so on."""
        return self.url + BASE_URLS[protocol]

    @property
    def clock(self) -> TwinClock:
        return self._world.clock

    @property
    def faults(self) -> Faults:
        return self._world.faults

    @property
    def invoice(self) -> Invoice:
        """What has been billed by now, batches that the clock made due included."""
        self._world.catch_up()
        return self._world.invoice

    @property
    def requests(self) -> list[Seen]:
        return self._world.requests

    @property
    def last(self) -> Any:
        """The body of the latest request."""
        return self._world.requests[-1].body

    def reset(self) -> None:
        self._world.reset()


def _listener() -> socket.socket:
    """The protocol is named, or asyncio would not switch off Nagle's algorithm, which costs 40 ms an answer."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


class TwinContext:
    """Runs a twin for the length of a block, `with` or `async with`."""

    def __init__(self, world: World, port: int) -> None:
        self._world = world
        self._port = port
        self._stack = ExitStack()

    def __enter__(self) -> RunningTwin:
        with ExitStack() as stack:
            listener = stack.enter_context(_listener())
            listener.bind((HOST, self._port))
            port = listener.getsockname()[1]
            runner = _Runner(build_server(self._world, HOST, port), listener)
            stack.enter_context(runner)
            self._stack = stack.pop_all()
        return RunningTwin(self._world, f"http://{HOST}:{port}")

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    async def __aenter__(self) -> RunningTwin:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__()


def running_twin(
    *,
    options: Options | None = None,
    faults: Iterable[Fault] = (),
    seed: int = 0,
    start: datetime | None = None,
    rate: float = 1.0,
    port: int = 0,
) -> TwinContext:
    """A twin for a block; it starts and stops within milliseconds. Port 0 takes a free one."""
    return TwinContext(World(options or Options(), TwinClock(start, rate=rate), Faults(faults, seed=seed)), port)


class _Runner:
    """Runs a server until it is told to stop. Its own `serve` would take over the signals of the process."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self._server = server
        self._listener = listener
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="twin", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        if not self._ready.wait(STARTING_SECONDS):
            raise RuntimeError(f"the twin did not start within {STARTING_SECONDS} seconds")

    def __exit__(self, *error: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STARTING_SECONDS)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._listener])
        self._ready.set()
        await self._stopping.wait()
        self._server.force_exit = True
        await self._server.shutdown(sockets=[self._listener])


start_twin = running_twin
"""The same by the name that reads better in synchronous tests."""
