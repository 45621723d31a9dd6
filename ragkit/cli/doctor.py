"""`ragkit doctor`: what is installed and reachable, what would be used, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, as_overrides, print_json, run

AllOption = Annotated[bool, typer.Option("--all", help="Print the default settings too.")]


def doctor(
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    show_all: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Examine the set-up: systems, models and settings in force. Keys are never shown."""
    from ragkit.config import load_settings, origins
    from ragkit.doctor import examine, findings_text, findings_to_json, settings_rows
    from ragkit.errors import PARTIAL_FAILURE

    overrides = as_overrides(store, tenant)
    settings = load_settings(config, overrides=overrides)
    rows = settings_rows(settings, origins(config, overrides=overrides), show_all=show_all)
    findings = run(examine(settings))
    if as_json:
        print_json(findings_to_json(findings, rows))
    else:
        typer.echo(findings_text(findings, rows))
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(PARTIAL_FAILURE)
