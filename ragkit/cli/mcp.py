"""`ragkit mcp`: the tools search, ask and cost for an assistant on this machine, over stdin and stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ragkit.cli.options import ConfigOption, StoreOption, TenantOption, read_settings, run

if TYPE_CHECKING:
    from ragkit.settings import Settings


def mcp(store: StoreOption = None, tenant: TenantOption = None, config: ConfigOption = None) -> None:
    """Speak MCP on stdin and stdout: search, ask and cost as tools, for one tenant."""
    run(_serve(read_settings(store, tenant, config)))


async def _serve(settings: Settings) -> None:
    from ragkit.errors import MissingExtra

    try:
        from ragkit_api.mcp import serve_stdio
        from ragkit_api.service import open_service
    except ImportError as error:
        raise MissingExtra("api,mcp", "the MCP server") from error
    async with open_service(settings) as service:
        await serve_stdio(service)
