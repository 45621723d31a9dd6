"""The twin as an ASGI application: one mount per protocol, and `/twin` to look at it and to steer it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ragkit_eval.twin import (
    anthropic,
    anthropic_batches,
    cohere,
    gateway,
    gemini_batches,
    gemini_decisions,
    gemini_errors,
    openai,
    openai_batches,
    openai_decisions,
    openai_embeddings,
    openai_files,
    openai_responses,
    storage,
    vertex_batches,
    vllm,
    vllm_decisions,
    voyage,
)
from ragkit_eval.twin.exchange import Handler, Protocol, endpoint
from ragkit_eval.twin.faults import describe, read_fault
from ragkit_eval.twin.world import World

LABEL = (b"x-ragkit-twin", b"simulated")
BASE_URLS = {
    "anthropic": "/anthropic",
    "openai": "/openai/v1",
    "openai-eu": "/openai-eu/v1",
    "gemini": "/gemini",
    "storage": "/cloud-storage",
    "vllm": "/vllm/v1",
    "gateway": "/gateway/v1",
    "cohere": "/cohere",
    "voyage": "/voyage/v1",
}
"""What a client's base URL ends with, by protocol."""

Routes = tuple[tuple[str, str, Handler], ...]

OPENAI: Routes = (
    *openai.ROUTES,
    *openai_responses.ROUTES,
    *openai_embeddings.ROUTES,
    *openai_decisions.ROUTES,
    *openai_files.ROUTES,
    *openai_batches.ROUTES,
)


GEMINI: Routes = (*gemini_decisions.ROUTES, *vertex_batches.ROUTES, *gemini_batches.ROUTES)


class LabelledApp:
    """Every response says that it is simulated."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), LABEL]}
            await send(message)

        await self._app(scope, receive, labelled if scope["type"] == "http" else send)


class TwinProtocol(H11Protocol):
    """Hands the transport to the application, which must be able to reset connections."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def build_app(world: World) -> ASGIApp:
    """The application around one world."""
    mounts = [
        _mount(world, "/anthropic", anthropic.PROTOCOL, anthropic.ROUTES + anthropic_batches.ROUTES),
        *(_mount(world, path, openai.PROTOCOL, OPENAI) for path in ("/openai", "/openai-eu", "/openai-us")),
        _mount(world, "/gemini", gemini_errors.PROTOCOL, GEMINI),
        _mount(world, "/cloud-storage", storage.PROTOCOL, storage.ROUTES),
        _mount(world, "/vllm", vllm.PROTOCOL, vllm.ROUTES + vllm_decisions.ROUTES),
        *(_mount(world, f"/{each.PROTOCOL.name}", each.PROTOCOL, each.ROUTES) for each in (gateway, cohere, voyage)),
    ]
    return LabelledApp(Starlette(routes=[*_control(world), *mounts]))


def _mount(world: World, path: str, protocol: Protocol, routes: Routes) -> Mount:
    """Routes of one protocol; what it does not serve is answered in its own error shape."""

    async def missing(call: Any) -> Response:
        raise call.reject(f"{call.request.method} {call.seen.path} is not simulated", "not_found")

    served = [Route(place, endpoint(world, protocol, handler), methods=[method]) for method, place, handler in routes]
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Mount(path, routes=[*served, Route("/{rest:path}", endpoint(world, protocol, missing), methods=methods)])


def _control(world: World) -> list[Route]:
    async def home(request: Request) -> Response:
        text = "ragkit twin: simulated providers, simulated prices, no real model.\n\n"
        lines = [f"{name:<10} {request.base_url}{path.strip('/')}" for name, path in BASE_URLS.items()]
        return PlainTextResponse(text + "\n".join(lines) + "\n\ninvoice    /twin/invoice\nrequests   /twin/requests\n")

    async def invoice(request: Request) -> Response:
        world.catch_up()
        return JSONResponse(world.invoice.to_json())

    async def requests(request: Request) -> Response:
        return JSONResponse({"simulated": True, "requests": [seen.to_json() for seen in world.requests]})

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            body = await request.json()
            script = body if isinstance(body, list) else body.get("fault", [])
            seed = body.get("seed") if isinstance(body, dict) else None
            world.faults.set([read_fault(each) for each in script], seed=seed)
        return JSONResponse({"simulated": True, "fault": describe(world.faults.script), "seed": world.faults.seed})

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            _turn_clock(world, await request.json())
        return JSONResponse({"simulated": True, "now": world.clock.now().isoformat(), "rate": world.clock.rate})

    async def reset(request: Request) -> Response:
        world.reset()
        return JSONResponse({"simulated": True})

    return [
        Route("/", home),
        Route("/twin", home),
        Route("/twin/invoice", invoice),
        Route("/twin/requests", requests),
        Route("/twin/faults", _guarded(faults), methods=["GET", "POST"]),
        Route("/twin/clock", _guarded(clock), methods=["GET", "POST"]),
        Route("/twin/reset", reset, methods=["POST"]),
        Route("/oauth2/token", storage.token, methods=["POST"]),
    ]


def _guarded(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A page whose bad input is a 400 with its reason."""

    async def guarded(request: Request) -> Response:
        try:
            return await page(request)
        except (ValueError, TypeError, json.JSONDecodeError) as error:
            return JSONResponse({"simulated": True, "error": str(error)}, 400)

    return guarded


def _turn_clock(world: World, order: dict[str, Any]) -> None:
    if "set" in order:
        world.clock.set(datetime.fromisoformat(order["set"]))
    if "advance" in order:
        world.clock.advance(float(order["advance"]))
    world.catch_up()


def build_server(world: World, host: str, port: int) -> uvicorn.Server:
    """A server for it; access logs are off, since `/twin/requests` tells more."""
    config = uvicorn.Config(
        build_app(world),
        host=host,
        port=port,
        http=TwinProtocol,
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    return uvicorn.Server(config)
