"""How an answer goes over the wire: whole, as server-sent events, or broken in a scripted way."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ragkit_eval.twin.faults import Fault

USAGE_KEYS = ("usage", "usageMetadata", "meta")
SECONDS_BETWEEN_HEARTBEATS = 0.05


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream and the output tokens that it carries; `final` ends the protocol's stream."""

    data: bytes
    output: int = 0
    final: bool = False


def event(payload: Mapping[str, Any] | str, *, name: str | None = None) -> bytes:
    """A server-sent event."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def without_usage(payload: Any) -> Any:
    """The payload as a provider would send it that forgets the usage."""
    if not isinstance(payload, dict):
        return payload
    return {key: without_usage(value) for key, value in payload.items() if key not in USAGE_KEYS}


def whole_reply(body: Any, headers: Mapping[str, str], fault: Fault | None) -> Response:
    """A JSON answer, spoiled where the script says so."""
    kind = fault.kind if fault else ""
    raw = json.dumps(without_usage(body) if kind == "missing_usage" else body, ensure_ascii=False).encode()
    if kind == "malformed_json":
        return Response(raw[: len(raw) // 2], 200, dict(headers), "application/json")
    if kind == "wrong_content_type":
        return Response(raw, 200, dict(headers), "text/html")
    if kind in ("cut_stream", "stream_error"):
        return StreamReply((Frame(raw),), lambda output, complete: None, headers, fault, media_type="application/json")
    return Response(raw, 200, dict(headers), "application/json")


class Broken(Response):
    """No answer at all: silence, a reset, endless heartbeats, or some proxy's page."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = self._fault.kind
        if kind == "html_error":
            page = b"<html><body><h1>Bad gateway</h1></body></html>"
            await Response(page, self._fault.status or 502, media_type="text/html")(scope, receive, send)
        elif kind == "reset":
            await reset(scope)
        else:
            gone = asyncio.create_task(_disconnected(receive))
            if kind == "heartbeat":
                await _heartbeat(send, gone)
            await gone


async def _heartbeat(send: Send, gone: asyncio.Task[None]) -> None:
    await send(_start({}, "text/event-stream"))
    while not gone.done():
        await send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
        await asyncio.wait([gone], timeout=SECONDS_BETWEEN_HEARTBEATS)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def reset(scope: Scope) -> None:
    """Close the connection with a TCP reset, as a crashing peer does."""
    transport: asyncio.Transport = scope["state"]["transport"]
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await asyncio.sleep(0.01)


def _start(headers: Mapping[str, str], media_type: str) -> Message:
    pairs = {"content-type": media_type, "cache-control": "no-store", **headers}
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs.items()],
    }


class StreamReply(Response):
    """Events one after the other. Billed for what was sent when it is cut, by the script or by the client."""

    def __init__(
        self,
        frames: Sequence[Frame],
        settle: Callable[[int, bool], None],
        headers: Mapping[str, str],
        fault: Fault | None,
        *,
        media_type: str = "text/event-stream",
    ) -> None:
        super().__init__()
        self._frames = tuple(_spoiled(frames, fault))
        self._settle = settle
        self._extra = headers
        self._fault = fault
        self._type = "text/html" if fault and fault.kind == "wrong_content_type" else media_type
        self._sent = 0
        """Output tokens in the events sent so far."""

    def settle_unsent(self) -> None:
        """Bill all of it, although nothing of it arrives."""
        self._settle(sum(frame.output for frame in self._frames), False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(_start(self._extra, self._type))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            complete = await self._send_frames(scope, send, gone)
        finally:
            gone.cancel()
        if complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_frames(self, scope: Scope, send: Send, gone: asyncio.Task[None]) -> bool:
        """Whether all went out. The bill is posted before the last event, so that who has it can look it up."""
        cut = self._cut_place()
        for place, frame in enumerate(self._frames):
            if place == cut:
                await self._cut(scope, send, place)
                return False
            await self._pause(frame, gone)
            if gone.done():
                self._abandon(place)
                return False
            self._sent += frame.output
            if place == len(self._frames) - 1:
                self._settle(self._sent, True)
            await self._send_frame(send, frame)
        return True

    async def _pause(self, frame: Frame, gone: asyncio.Task[None]) -> None:
        """The time that a slow model takes for an event; a client that leaves meanwhile is noticed at once."""
        if self._fault and self._fault.kind == "slow_tokens":
            await asyncio.wait([gone], timeout=self._fault.seconds * frame.output)
        else:
            await asyncio.sleep(0)

    async def _send_frame(self, send: Send, frame: Frame) -> None:
        size = 1 if self._fault and self._fault.kind == "split_bytes" else len(frame.data)
        for start in range(0, len(frame.data), max(size, 1)):
            await send({"type": "http.response.body", "body": frame.data[start : start + size], "more_body": True})

    def _abandon(self, place: int) -> None:
        """Before the first event nothing was generated and nothing is owed."""
        if place:
            self._settle(self._sent, False)

    def _cut_place(self) -> int | None:
        """The event before which, or within which, the script cuts; half-way when it does not say."""
        if self._fault is None or self._fault.kind not in ("cut_stream", "stream_error"):
            return None
        if self._fault.after_bytes is not None:
            size = 0
            for place, frame in enumerate(self._frames):
                size += len(frame.data)
                if size > self._fault.after_bytes:
                    return place
            return None
        after = len(self._frames) // 2 if self._fault.after is None else self._fault.after
        return min(after, len(self._frames) - 1)

    async def _cut(self, scope: Scope, send: Send, place: int) -> None:
        self._abandon(place)
        if self._fault is None:
            return
        if self._fault.kind == "stream_error":
            await self._send_error(send)
            return
        await self._send_rest(send, place)
        await asyncio.sleep(0.01)
        await reset_gently(scope)

    async def _send_rest(self, send: Send, place: int) -> None:
        """The bytes of the cut event that still go out."""
        limit = self._fault.after_bytes if self._fault else None
        if limit is not None:
            before = sum(len(frame.data) for frame in self._frames[:place])
            await send(
                {"type": "http.response.body", "body": self._frames[place].data[: limit - before], "more_body": True}
            )

    async def _send_error(self, send: Send) -> None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "scripted fault", "code": 529}}
        await send({"type": "http.response.body", "body": event(error, name="error"), "more_body": False})


async def reset_gently(scope: Scope) -> None:
    """Close without the end of the body; what was sent before still arrives."""
    transport: asyncio.Transport = scope["state"]["transport"]
    transport.close()
    await asyncio.sleep(0.01)


def _spoiled(frames: Sequence[Frame], fault: Fault | None) -> Sequence[Frame]:
    kind = fault.kind if fault else ""
    if kind == "no_terminal":
        return [frame for frame in frames if not frame.final]
    if kind == "malformed_json":
        middle = len(frames) // 2
        return [
            Frame(frame.data.replace(b"}", b"", 1), frame.output, frame.final) if place == middle else frame
            for place, frame in enumerate(frames)
        ]
    if kind == "missing_usage":
        return [_frame_without_usage(frame) for frame in frames]
    return frames


def _frame_without_usage(frame: Frame) -> Frame:
    head, mark, payload = frame.data.partition(b"data: ")
    if not payload.startswith(b"{"):
        return frame
    text = json.dumps(without_usage(json.loads(payload)), ensure_ascii=False)
    return Frame(head + mark + text.encode() + b"\n\n", frame.output, frame.final)
