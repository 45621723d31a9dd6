"""Running the service: where it listens, and how it stops without losing a question or a bill."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from ragkit.errors import ConfigError
from ragkit.settings import Settings
from ragkit_api.app import create_app
from ragkit_api.log import log_to_stderr
from ragkit_api.pauses import shorten
from ragkit_api.records import Records
from ragkit_api.together import Together

GRACE = 5
"""Seconds beyond the drain that the server gives connections to end by themselves."""
TURN = 0.0005
"""Seconds after which a thread that computes makes room for the event loop, which is waited for by everybody."""


class Server(uvicorn.Server):
    """Tells the service before it waits for its connections: streams then end with an event of their own."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            await self._app.state.service.rag.parts.warm()
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.service.drain()
        await super().shutdown(sockets)


def build_server(settings: Settings, ready: Callable[[], None] = lambda: None) -> Server:
    """A server that listens when it is run; `ready` is called once it answers."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=Together,
        timeout_graceful_shutdown=int(settings.api.drain) + GRACE,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return Server(config, app, ready)


async def check_open(settings: Settings) -> bool:
    """Whether there are keys; without them only this machine may be listened to."""
    records = Records(settings)
    try:
        keyed = bool((await records.ring()).keys)
    finally:
        await records.aclose()
    if not keyed and not is_loopback(settings.api.host):
        raise ConfigError(
            f"without keys the service listens to this machine only, not to {settings.api.host}:"
            " make one with `ragkit key create`, or leave --host out"
        )
    return keyed


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: Settings, welcome: Callable[[str, bool], None]) -> None:
    """Run until a signal; `welcome` is told the address, once it is answered there, and whether there are keys."""
    keyed = asyncio.run(check_open(settings))
    log_to_stderr()
    sys.setswitchinterval(TURN)
    family = socket.AF_INET6 if ":" in settings.api.host else socket.AF_INET
    # The protocol is named, or asyncio would not switch off Nagle's algorithm, which costs 40 ms an answer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.api.host, settings.api.port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen to {settings.api.host}:{settings.api.port}: {error.strerror}: choose another --port"
            ) from error
        host = f"[{settings.api.host}]" if ":" in settings.api.host else settings.api.host
        address = f"http://{host}:{listener.getsockname()[1]}"

        def ready() -> None:
            shorten()
            welcome(address, keyed)

        build_server(settings, ready).run(sockets=[listener])
