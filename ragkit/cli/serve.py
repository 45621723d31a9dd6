"""`ragkit serve`: the REST service, until a signal ends it."""

from __future__ import annotations

from typing import Annotated

import typer

from ragkit.cli.options import ConfigOption, StoreOption, TenantOption, as_overrides

HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen to.", show_default="127.0.0.1")]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.", show_default="8080")
]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Serve the REST API: questions, documents, costs, an OpenAI-compatible endpoint and MCP."""
    from ragkit.config import load_settings
    from ragkit.errors import MissingExtra

    overrides = as_overrides(store, tenant)
    overrides["api"] = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(config, overrides=overrides)
    try:
        from ragkit_api.server import serve as run_server
    except ImportError as error:
        raise MissingExtra("api", "the REST service") from error
    run_server(settings, _welcome)


def _welcome(address: str, keyed: bool) -> None:
    typer.echo(f"ragkit serves {address} (paths: {address}/openapi.json)", err=True)
    if not keyed:
        typer.echo("there are no keys: only this machine is answered, and it may do everything", err=True)
