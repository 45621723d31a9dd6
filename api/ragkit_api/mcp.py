"""The MCP server: `search`, `ask` and `cost` as tools, at `/mcp` with the same keys, and on stdio for one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import Field
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from ragkit import __version__
from ragkit.errors import RagkitError
from ragkit.present import answer_to_json, hit_to_json
from ragkit.query import LONGEST_QUESTION, make_query
from ragkit.reports.spending import By, Span, report, report_to_json
from ragkit_api import asking
from ragkit_api.auth import Caller, identify
from ragkit_api.problem import Problem, body, reply
from ragkit_api.service import Service

INSTRUCTIONS = "Answers from the user's own documents, with verified citations and an exact receipt for each answer."
Question = Annotated[str, Field(description="A question in plain words.", min_length=1, max_length=LONGEST_QUESTION)]
Json = dict[str, Any]
CallerOf = Callable[[Context[Any, Any]], Caller]


class McpEndpoint:
    """`/mcp`: streamable HTTP without sessions. The key is checked here, before anything else is read."""

    def __init__(self) -> None:
        self._server = build_mcp(_caller_of)
        # The guard has checked the host already, by the same rule for all paths.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._app = self._server.streamable_http_app(
            stateless_http=True, json_response=True, transport_security=security
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._server.session_manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            caller = await identify(scope["app"].state.service, request.headers.getlist("authorization"))
            request.state.caller = caller.need("query")
        except Problem as error:
            await reply(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def build_mcp(caller_of: CallerOf) -> MCPServer[Any]:
    """The tools; `caller_of` finds out who calls one."""
    server: MCPServer[Any] = MCPServer("ragkit", version=__version__, instructions=INSTRUCTIONS, log_level="ERROR")

    @server.tool(structured_output=True)
    async def search(question: Question, ctx: Context[Any, Any], k: Annotated[int, Field(ge=1, le=50)] = 8) -> Json:
        """Find the passages of the documents that fit a question best, without an answer."""
        caller = caller_of(ctx)
        with _errors():
            query = make_query(question, caller.service.settings, k=40, account=caller.account())
            hits = await asking.search(caller.service, query)
        return {"hits": [hit_to_json(hit) for hit in hits[:k]]}

    @server.tool(structured_output=True)
    async def ask(question: Question, ctx: Context[Any, Any]) -> Json:
        """Answer a question from the documents, with quotes that were checked, and say what the answer cost."""
        caller = caller_of(ctx)
        with _errors():
            query = make_query(question, caller.service.settings, account=caller.account())
            answer = await asking.ask(caller.service, query, {})
        return answer_to_json(answer)

    @server.tool(structured_output=True)
    async def cost(ctx: Context[Any, Any], by: By = "day", days: Annotated[int, Field(ge=1, le=366)] = 30) -> Json:
        """Say what was spent and saved in the last days."""
        caller = caller_of(ctx)
        now = datetime.now(UTC)
        span = Span(now - timedelta(days=days), now)
        with _errors():
            ledger, when = caller.service.ledger, (span.since, span.until, caller.tenant)
            return report_to_json(report(by, await ledger.cells(*when), await ledger.bills(*when), span))

    return server


@contextmanager
def _errors() -> Iterator[None]:
    """Errors of ours become errors of the tool: their code and their sentence."""
    try:
        yield
    except (RagkitError, Problem) as error:
        said = body(error)["error"]
        raise ToolError(f"{said['code']}: {said['message']}") from error


def _caller_of(context: Context[Any, Any]) -> Caller:
    caller: Caller = getattr(context.request_context.request, "state").caller  # noqa: B009  a request of Starlette's
    return caller


async def serve_stdio(service: Service) -> None:
    """Speak MCP on stdin and stdout, for the tenant of the settings."""
    caller = Caller(service, service.settings.tenant, ("query",), None)
    await build_mcp(lambda _: caller).run_stdio_async()
