"""A child process that is talked to in frames: a length, then so many bytes.

It ends when its parent does, however that ends, because reading stdin then ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio import ReadTransport, SubprocessTransport, WriteTransport
from collections import deque
from typing import BinaryIO, cast

LENGTH = 8
"""Bytes of a frame's length, before the frame."""
MOST_HELD = 1 << 20
"""Bytes of answers that are read ahead; then the child has to wait."""
PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""The part of the environment that a child gets: keys of providers are none of its business."""
_IN, _OUT = 0, 1


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(LENGTH, "big") + payload


def read_frame(stream: BinaryIO) -> bytes:
    """The next payload; nothing at the end."""
    size = stream.read(LENGTH)
    return stream.read(int.from_bytes(size, "big")) if len(size) == LENGTH else b""


def stdio() -> tuple[BinaryIO, BinaryIO]:
    """In the child: requests and answers. Whatever else prints must not talk into the protocol."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return requests, answers


async def begin(module: str) -> Child:
    """`python -P -m module` as a child; that it lives is known once it answers."""
    pipe = asyncio.subprocess.PIPE
    _, child = await asyncio.get_running_loop().subprocess_exec(
        Child,
        *(sys.executable, "-P", "-m", module),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
    )
    return child


class Child(asyncio.SubprocessProtocol):
    """A running child.

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

    async def answer(self, seconds: float | None = None) -> bytes:
        """The next answer; EOFError where the child has ended, TimeoutError where it does not answer in time."""
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
        """End the child, whatever it is doing, and with it the pipes."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.close()
        await self._gone.wait()
