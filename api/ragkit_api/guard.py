"""The outermost layer: which hosts are answered, what is shed at once, how large bodies are, a line in the log."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragkit_api import problem
from ragkit_api.log import log_request
from ragkit_api.problem import Problem, log_unexpected, reply
from ragkit_api.service import Service

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
GATED = {"/v1/query", "/v1/search", "/v1/chat/completions"}
IDLE_SECONDS, BODY_SECONDS = 20.0, 600.0
"""How long a body may pause, and how long all of it may take."""
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """Wraps the application; the service is known once it has been started."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        service: Service = scope["app"].state.service
        await _Exchange(scope, receive, send, _room(scope, service)).run(self._app, service)


class _Exchange:
    """One request and its reply."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, room: int) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._room = room
        self._id = uuid.uuid4().hex
        self._status = 0
        self._whole = False
        self._began = time.perf_counter()
        self._log: dict[str, Any] = {}
        self._came: Callable[[], None] | None = None

    async def run(self, app: ASGIApp, service: Service) -> None:
        state: MutableMapping[str, Any] = self._scope.setdefault("state", {})
        state["log"] = self._log
        try:
            await self._check(service)
            await app(self._scope, self.receive, self.send)
        except Exception as error:
            await self._fail(error)
        finally:
            self._answered()
            self._note(service, state)

    async def receive(self) -> Message:
        """The next part of the body, within the time it has; what comes after it may take for ever."""
        if self._whole:
            return await self._receive()
        left = BODY_SECONDS - (time.perf_counter() - self._began)
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, min(IDLE_SECONDS, left)))
        except TimeoutError as error:
            raise HTTPException(408) from error
        self._room -= len(message.get("body", b""))
        if self._room < 0:
            raise HTTPException(413)
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._answered()
            self._status = message["status"]
            own = list(message.get("headers", ()))
            named = {name for name, _ in own}
            added = (header for header in HEADERS if header[0] not in named)
            message["headers"] = [*own, *added, (b"x-request-id", self._id.encode())]
        await self._send(message)

    async def _check(self, service: Service) -> None:
        headers = dict(self._scope["headers"])
        if (length := headers.get(b"content-length", b"0")).isdigit() and int(length[:18]) > self._room:
            raise Problem(413, "too_large", "the body is too large: send less at once")
        if not (await service.keys.ring()).keys:
            _check_names(headers)
        if self._scope["path"] in GATED and self._scope["method"] == "POST":
            await self._announce(service)

    async def _announce(self, service: Service) -> None:
        """Refuse whom there is no place for before anything else is done for them."""
        shown = [value.decode("latin-1") for name, value in self._scope["headers"] if name == b"authorization"]
        if (tenant := await service.tenant(shown)) is None:
            return
        try:
            self._came = service.gate.come(tenant)
        except Problem as refusal:
            service.metrics.shed.labels(refusal.code).inc()
            raise

    def _answered(self) -> None:
        """Make room for the next one, once; how long a client takes to read its reply is no reason to refuse others."""
        if self._came is not None:
            self._came()
            self._came = None

    async def _fail(self, error: Exception) -> None:
        log_unexpected(error)
        self._log["error"] = problem.code(error)
        if not self._status:
            await reply(error)(self._scope, self.receive, self.send)

    def _note(self, service: Service, state: MutableMapping[str, Any]) -> None:
        seconds = time.perf_counter() - self._began
        route = getattr(self._scope.get("route"), "path", "unmatched")
        method = self._scope["method"] if route != "unmatched" else "any"
        service.metrics.requests.labels(route, method, str(self._status)).inc()
        service.metrics.seconds.labels(route).observe(seconds)
        if caller := state.get("caller"):
            self._log.update(tenant=caller.tenant, key=caller.key)
        log_request(self._id, f"{method} {route}", self._status, seconds, self._log)


def _room(scope: Scope, service: Service) -> int:
    """How many bytes a body may have."""
    api = service.api
    uploads = scope["path"] == "/v1/documents" and scope["method"] == "POST"
    return api.max_upload_mib * 1024 * 1024 if uploads else api.max_body_kib * 1024


def _check_names(headers: dict[bytes, bytes]) -> None:
    """Without keys any page in a browser could ask in its user's name: neither under our name nor under its own."""
    named = [b"//" + headers.get(b"host", b""), *([headers[b"origin"]] if b"origin" in headers else [])]
    if not all(_host(it.decode("latin-1")) in LOOPBACK for it in named):
        message = "without keys only this machine is answered: call it localhost, or use `ragkit key create`"
        raise Problem(421, "wrong_host", message)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
