"""One request writes a cold prefix; those that come meanwhile wait a little for it instead of paying for it again.

An entry is readable as soon as its writer's answer begins, so that is what the others wait for.
"""

from __future__ import annotations

import asyncio


class Writer:
    """The right to write one prefix; whoever has it says when the answer began, or that it never will."""

    def __init__(self, begun: asyncio.Event) -> None:
        self._begun = begun
        self.succeeded = False

    def began(self) -> None:
        self.succeeded = True
        self._begun.set()

    def gave_up(self) -> None:
        self._begun.set()


class Warming:
    """Who is writing which prefix in this process."""

    def __init__(self) -> None:
        self._writing: dict[str, Writer] = {}
        self._events: dict[str, asyncio.Event] = {}

    def enter(self, key: str) -> Writer | None:
        """The right to write, unless somebody has it."""
        if key in self._writing:
            return None
        event = self._events[key] = asyncio.Event()
        self._writing[key] = Writer(event)
        return self._writing[key]

    async def wait(self, key: str, seconds: float) -> bool:
        """Whether the one who is writing this prefix began to get an answer in time; False if it failed, too."""
        writer, event = self._writing.get(key), self._events.get(key)
        if writer is None or event is None:
            return False
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return writer.succeeded

    def leave(self, key: str, writer: Writer) -> None:
        """The writer's question is over, however it ended."""
        writer.gave_up()
        if self._writing.get(key) is writer:
            del self._writing[key], self._events[key]
