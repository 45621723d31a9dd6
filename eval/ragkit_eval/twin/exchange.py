"""One request and its answer: read, rejected or broken by script, answered whole or as a stream, and billed once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ragkit_eval.twin.faults import REJECTIONS, Fault
from ragkit_eval.twin.invoice import Invoice
from ragkit_eval.twin.replies import Broken, Frame, StreamReply, whole_reply
from ragkit_eval.twin.world import Bill, Seen, World

WORDS = {"context_too_long": "prompt is too long: it exceeds the maximum context length"}
"""What clients look for in a message, where some protocols have no code for it."""
GONE = 499
"""The status of a request whose sender hung up before it was sent; no provider's, and nobody sees it."""
FILES = ("multipart/", "application/jsonl")
"""Types of bodies that are not JSON."""
SECRET_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")


class Rejection(Exception):
    """A request that is refused before anything is generated, and so for free."""

    def __init__(self, kind: str, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code
        self.status = REJECTIONS[kind]
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Protocol:
    """What differs between providers before any generation: name, where the key stands, and the shape of errors."""

    name: str
    error_body: Callable[[Rejection, str], Any]
    request_id_header: str = "x-request-id"
    needs_key: bool = True


@dataclass(slots=True)
class Call:
    """A request in hand: everything that a handler needs to answer it."""

    world: World
    protocol: Protocol
    request: Request
    seen: Seen
    key: str
    invoice: Invoice
    """The one that was open when the request came: what ends after a reset is not on the new one."""
    fault: Fault | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return self.seen.body if isinstance(self.seen.body, dict) else {}

    @property
    def fault_kind(self) -> str:
        return self.fault.kind if self.fault else ""

    def reject(self, message: str, kind: str = "bad_request", *, code: str | None = None) -> Rejection:
        return Rejection(kind, message, code=code)

    async def wait_for_first_token(self) -> None:
        """The time until an answer begins; what was written to a cache is readable only after it."""
        slow = self.fault.seconds if self.fault and self.fault.kind == "slow_first_token" else 0.0
        await asyncio.sleep(self.world.options.latency + slow)

    async def answer(self, body: Any, bill: Bill | None = None, *, tokens: int = 0) -> Response:
        """The whole answer as JSON. It is billed even when the client has left by then: it was generated."""
        if self.fault and self.fault.kind == "slow_tokens":
            await asyncio.sleep(self.fault.seconds * tokens)
        if bill is not None:
            self.world.bill(bill, "completed", self.invoice)
        self.seen.status = 200
        return whole_reply(body, self.headers, self.fault)

    def stream(self, frames: tuple[Frame, ...], bill: Callable[[int], Bill]) -> Response:
        """The answer as events; `bill` prices it for the output tokens that were produced until it ended or broke."""

        def settle(output: int, complete: bool) -> None:
            self.seen.aborted = not complete
            self.world.bill(bill(output), "completed" if complete else "cut", self.invoice)

        self.seen.status, self.seen.aborted = 200, True
        return StreamReply(frames, settle, self.headers, self.fault)


Handler = Callable[[Call], Awaitable[Response]]


def endpoint(world: World, protocol: Protocol, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route's function: opens the call, applies the script, and gives errors the protocol's shape."""

    async def respond(request: Request) -> Response:
        try:
            call = await _open(world, protocol, request)
        except ClientDisconnect:  # nobody is there to be answered, and nothing was asked
            return Response(status_code=GONE)
        try:
            _check_key(call)
            broken = _apply_script(call)
            if broken is None:
                return await handler(call)
            if call.fault is not None and call.fault.billed:
                _bill_anyway(await handler(call))
            return broken
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            return _refusal(call, Rejection("bad_request", f"the request is malformed: {error!r}"))
        except Rejection as rejection:
            return _refusal(call, rejection)

    return respond


def _refusal(call: Call, rejection: Rejection) -> Response:
    body = call.protocol.error_body(rejection, call.seen.request_id)
    call.seen.status = rejection.status
    headers = {**call.headers, **rejection.headers}
    return Response(json.dumps(body), rejection.status, headers, "application/json")


def _bill_anyway(reply: Response) -> None:
    """A whole answer was billed when it was made, a stream is when it is sent."""
    if isinstance(reply, StreamReply):
        reply.settle_unsent()


async def _open(world: World, protocol: Protocol, request: Request) -> Call:
    world.catch_up()
    raw = await request.body()
    headers = {name: value for name, value in request.headers.items() if name not in SECRET_HEADERS}
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    number = len(world.requests) + 1
    seen = Seen(number, world.clock.now(), protocol.name, request.method, path, headers, raw, _parse(raw))
    seen.request_id = world.new_id("req")
    world.requests.append(seen)
    headers = {protocol.request_id_header: seen.request_id}
    call = Call(world, protocol, request, seen, _key_of(request), world.invoice, headers=headers)
    call.fault = world.faults.next(protocol.name, _model_of(call), path)
    seen.fault = call.fault.kind if call.fault else None
    return call


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        return None


def _model_of(call: Call) -> str:
    named = call.request.path_params.get("model") or call.body.get("model")
    return str(named).removeprefix("models/") if named else ""


def _key_of(request: Request) -> str:
    for name in ("x-api-key", "x-goog-api-key", "api-key", "authorization"):
        if value := request.headers.get(name):
            return value.removeprefix("Bearer ").removeprefix("bearer ").strip()
    return request.query_params.get("key", "")


def account_of(call: Call) -> str:
    """Whose caches and limits these are: an opaque name made of the key, which is not kept."""
    return hashlib.blake2b(call.key.encode(), digest_size=8).hexdigest()


def _check_key(call: Call) -> None:
    keys = call.world.options.keys
    if call.protocol.needs_key and (not call.key or (keys and call.key not in keys)):
        raise Rejection("auth", "invalid API key")
    if call.seen.body is None and not call.request.headers.get("content-type", "").startswith(FILES):
        raise Rejection("bad_request", "the request body is not valid JSON")


def _apply_script(call: Call) -> Response | None:
    """Raise the scripted rejection, or return the scripted break of the connection."""
    fault = call.fault
    if fault is None:
        return None
    if fault.kind in REJECTIONS:
        raise scripted_rejection(fault)
    if fault.kind in ("timeout", "reset", "heartbeat", "html_error"):
        call.seen.aborted = fault.kind != "html_error"
        call.seen.status = fault.status or 502 if fault.kind == "html_error" else None
        return Broken(fault)
    return None


def scripted_rejection(fault: Fault) -> Rejection:
    """What a fault of the script answers."""
    headers = {} if fault.retry_after is None else {"retry-after": fault.retry_after}
    words = WORDS.get(fault.kind, fault.kind.replace("_", " "))
    rejection = Rejection(fault.kind, f"scripted fault: {words}", code=fault.code, headers=headers)
    rejection.status = fault.status or rejection.status
    return rejection
