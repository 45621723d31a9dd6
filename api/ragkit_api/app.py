"""The application: routes, errors and the guard around them."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route, compile_path

from ragkit import __version__
from ragkit.errors import RagkitError
from ragkit.settings import Settings
from ragkit_api import batches, books, budgets, documents, health, openai_compat, overview, pages, prices, query
from ragkit_api.guard import Guard
from ragkit_api.problem import CODES, Problem, log_unexpected, reply
from ragkit_api.repeating import check_lease
from ragkit_api.service import open_service

if TYPE_CHECKING:
    from ragkit_api.mcp import McpEndpoint

ROUTERS = (query, batches, documents, books, overview, budgets, prices, openai_compat, health)
SUMMARY = "Answers from your documents, with verified citations and an exact receipt."


def create_app(settings: Settings) -> FastAPI:
    """The service over an index; it is opened when the server starts and closed when it stops."""
    check_lease(settings)
    endpoint = _mcp()
    app = FastAPI(
        title="ragkit",
        summary=SUMMARY,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(settings, endpoint),
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(Guard)
    if endpoint is not None:
        app.router.routes.append(Route("/mcp", endpoint=endpoint, include_in_schema=False))
    app.router.routes.extend(pages.routes())
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(RagkitError, _reply)
    app.add_exception_handler(Problem, _reply)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    return app


def _mcp() -> McpEndpoint | None:
    """The endpoint for MCP, where its package is installed."""
    if importlib.util.find_spec("mcp") is None:
        return None
    from ragkit_api.mcp import McpEndpoint

    return McpEndpoint()


def _lifespan(settings: Settings, mcp: McpEndpoint | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.service = await stack.enter_async_context(open_service(settings))
            if mcp is not None:
                await stack.enter_async_context(mcp.running())
            yield

    return lifespan


async def _reply(request: Request, error: Exception) -> Response:
    log_unexpected(error)
    request.state.log.setdefault("error", type(error).__name__)
    return reply(error)


async def _invalid(request: Request, error: Exception) -> Response:
    """Says where and why, without what was sent, which may be long or secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for nothing else
    first: dict[str, Any] = error.errors()[0] if error.errors() else {"loc": (), "msg": "it is not valid"}
    if first.get("type") == "json_invalid":
        return reply(Problem(422, "invalid_json", "the body is not valid JSON: send one JSON object"))
    place = ".".join(str(part) for part in first["loc"])[:200] or "body"
    message = first["msg"].removeprefix("Value error, ")
    return reply(Problem(422, "invalid_request", f"{place}: {message[:1].lower()}{message[1:]}"))


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths, methods, bodies that are too large."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    code = CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
    found = Problem(error.status_code, code, _sentence(error))
    response = reply(found)
    response.headers.update(error.headers or {})
    if error.status_code == 405 and (known := _methods(request.app, request.url.path)):
        response.headers["allow"] = ", ".join(known)
    return response


def _methods(app: FastAPI, path: str) -> list[str]:
    """What a path can be asked; the router knows only about the first of its routes."""
    items = app.openapi()["paths"].items()
    return sorted({method.upper() for known, item in items if compile_path(known)[0].match(path) for method in item})


def _sentence(error: HTTPException) -> str:
    sentences = {
        404: "there is no such path: see /openapi.json",
        408: "the body did not arrive in time: send it faster",
        405: "this path does not have that method: see /openapi.json",
        413: "the body is too large: send less at once",
    }
    return sentences.get(error.status_code, f"{error.detail}")
