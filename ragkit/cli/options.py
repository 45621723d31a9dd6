"""The options that commands share, and how they become settings."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from ragkit.config import Settings

T = TypeVar("T")

StoreOption = Annotated[Path | None, typer.Option("--store", "-s", help="Folder of the index.", show_default=".ragkit")]
TenantOption = Annotated[str | None, typer.Option("--tenant", "-t", help="Whose documents.", show_default="default")]
ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file.", show_default="ragkit.toml")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="KEY=VALUE", help="Only documents with this metadata; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def read_settings(store: Path | None, tenant: str | None, config: Path | None) -> Settings:
    """The settings in force: file and environment, then these options."""
    from ragkit.config import load_settings

    return load_settings(config, overrides=as_overrides(store, tenant))


def as_overrides(store: Path | None, tenant: str | None) -> dict[str, Any]:
    """The options that were given, in the shape of the settings file."""
    overrides: dict[str, Any] = {}
    if store is not None:
        overrides["store"] = {"path": store}
    if tenant is not None:
        overrides["tenant"] = tenant
    return overrides


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` of a repeatable option."""
    from ragkit.errors import ConfigError

    split: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not (key.strip() and equals):
            raise ConfigError(f"{option} takes KEY=VALUE, such as team=hr, not '{each}'")
        split[key.strip()] = value.strip()
    return split


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine; asyncio is imported here, since `--help` does not need it."""
    import asyncio

    return asyncio.run(work)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout, readable by people too."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
