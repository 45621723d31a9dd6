"""A parser process seen from its parent: frames in, frames out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio import ReadTransport, SubprocessTransport, WriteTransport
from collections import deque
from typing import cast

from ragkit.errors import RagkitError
from ragkit_ingest.wire import LENGTH, frame, pack_recipe
from ragkit_ingest.work import Recipe

START_SECONDS = 60.0
MOST_HELD = 1 << 20
"""Bytes of answers that are read ahead; then the process has to wait."""
PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""The part of the environment that a parser process gets: keys of providers are none of its business."""
_IN, _OUT = 0, 1


class Parser(asyncio.SubprocessProtocol):
    """A running parser process.

    Not a stream, which would cost a turn of the event loop for each answer, however many are there.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._held = 0
        self._news = asyncio.Event()
        self._silent = False
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._process = cast("SubprocessTransport", transport)
        self._stdin = cast("WriteTransport", self._process.get_pipe_transport(_IN))
        self._stdout = cast("ReadTransport", self._process.get_pipe_transport(_OUT))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH:
            end = LENGTH + int.from_bytes(self._buffer[:LENGTH], "big")
            if len(self._buffer) < end:
                break
            self._frames.append(bytes(memoryview(self._buffer)[LENGTH:end]))
            self._held += end
            del self._buffer[:end]
        if self._held > MOST_HELD:
            self._stdout.pause_reading()
        self._news.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == _OUT:
            self._silent = True
            self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._silent = True
        self._news.set()
        self._gone.set()

    @property
    def ready(self) -> bool:
        """Whether an answer is there already."""
        return bool(self._frames)

    def say(self, *payloads: bytes) -> None:
        """Its death is noticed when it owes the answer."""
        if not self._silent:
            self._stdin.write(b"".join(map(frame, payloads)))

    async def answer(self, seconds: float) -> bytes:
        """The next answer; EOFError from a process that has ended, TimeoutError from one that does not give it."""
        async with asyncio.timeout(seconds):
            while not self._frames:
                if self._silent:
                    raise EOFError("the process has ended")
                self._news.clear()
                await self._news.wait()
        payload = self._frames.popleft()
        self._held -= LENGTH + len(payload)
        if self._held <= MOST_HELD // 2:
            self._stdout.resume_reading()
        return payload

    async def close(self) -> None:
        """End the process, whatever it is doing, and with it the pipes."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.close()
        await self._gone.wait()


async def start(recipe: Recipe) -> Parser:
    """A process that has said that it is ready."""
    pipe = asyncio.subprocess.PIPE
    _, parser = await asyncio.get_running_loop().subprocess_exec(
        Parser,
        *(sys.executable, "-P", "-m", "ragkit_ingest.worker"),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
    )
    try:
        parser.say(pack_recipe(recipe))
        await parser.answer(START_SECONDS)
    except (EOFError, TimeoutError) as error:
        await parser.close()
        raise RagkitError(f"parser processes do not start: try {sys.executable} -m ragkit_ingest.worker") from error
    except BaseException:
        await parser.close()
        raise
    return parser
