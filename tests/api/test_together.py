"""Replies leave in one piece, whole and in order, also where the connection is closed behind them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from ragkit_api.together import Collecting, Together


class Beneath:
    """Remembers what a transport is asked to do."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done

    def get_extra_info(self, _: str) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def test_the_parts_of_a_turn_go_out_as_one() -> None:
    beneath = Beneath()
    transport = Collecting(cast("asyncio.Transport", beneath), asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b" body")
    assert beneath.done == []
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert beneath.done == [b"head body", b"next"]
    transport.write(b"last")
    assert not transport.is_closing()
    transport.close()
    await asyncio.sleep(0)
    assert beneath.done == [b"head body", b"next", b"last", "closed"]
    assert transport.is_closing()


async def test_a_complete_reply_does_not_wait_for_the_next_turn() -> None:
    async def app(_: object, __: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, http=Together, log_config=None)
    config.load()
    beneath = Beneath()
    connection = Together(config, server_state=ServerState(), app_state={})
    connection.connection_made(cast("asyncio.Transport", beneath))
    connection.data_received(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await asyncio.sleep(0)
    (reply,) = beneath.done
    assert isinstance(reply, bytes)
    assert reply.startswith(b"HTTP/1.1 200")
    assert reply.endswith(b"ok")
    connection.shutdown()


@pytest.mark.parametrize("path", ["/healthz", "/v1/nothing"])
def test_a_reply_is_whole_on_a_connection_that_ends_with_it(start: Any, path: str) -> None:
    host, port = start().url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    assert len(body) == length > 0
