"""The `ragkit` command. Commands parse, call and print; what they print for machines is `--json` on stdout."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ragkit import __version__
from ragkit.cli import (
    ask,
    batch,
    budget,
    cache,
    cost,
    doctor,
    eval,  # noqa: A004
    ingest,
    key,
    local,
    mcp,
    prices,
    route,
    search,
    serve,
    twin,
    verify,
)
from ragkit.errors import EXIT_CODES, RagkitError, code_of

app = typer.Typer(
    name="ragkit",
    help="Answer questions from your documents, with verified citations and an exact receipt.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(ingest.ingest)
app.command()(ask.ask)
app.command()(search.search)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command()(serve.serve)
app.command()(mcp.mcp)
app.command()(twin.twin)
app.add_typer(prices.app, name="prices")
app.add_typer(route.app, name="route")
app.add_typer(cost.app, name="cost")
app.add_typer(budget.app, name="budget")
app.add_typer(batch.app, name="batch")
app.add_typer(local.app, name="local")
app.add_typer(cache.app, name="cache")
app.add_typer(eval.app, name="eval")
app.add_typer(key.app, name="key")

INTERRUPTED = 130


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"ragkit {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; an error of ours becomes one sentence on stderr and its exit code."""
    try:
        app()
    except RagkitError as error:
        typer.echo(f"ragkit: {error}", err=True)
        sys.exit(code_of(error, EXIT_CODES))
    except OSError as error:
        typer.echo(f"ragkit: the system refuses: {error}", err=True)
        sys.exit(EXIT_CODES[RagkitError])
    except KeyboardInterrupt:
        typer.echo("ragkit: interrupted", err=True)
        sys.exit(INTERRUPTED)
