"""`ragkit cache`: what is hot and what it saves, and where a prefix breaks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit.caching.check import Seen
    from ragkit.settings import Settings

app = typer.Typer(help="Look into prompt caches and the answer cache.", no_args_is_help=True)

WhoseOption = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant.", show_default="all")]
FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[TRAFFIC.jsonl]", help="Requests with at, model and body, one a line.")
]
SinceOption = Annotated[
    str, typer.Option("--since", help="For the ledger: a day, a time, or how long ago, such as 7d.")
]


@app.command()
def report(
    tenant: WhoseOption = None, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Tell which documents are hot, what caching has saved, and why the rest goes out unmarked."""
    from ragkit.caching.file import FILE_NAME, CacheFile
    from ragkit.caching.report import cache_report, report_to_json, report_to_text
    from ragkit.models import Catalogue

    settings = read_settings(store, None, config)
    prices, path = settings.prices.file, settings.store.path / FILE_NAME
    catalogue = Catalogue.of(prices)
    file = CacheFile(path if path.exists() else None)
    try:
        found = cache_report(file, catalogue, datetime.now(UTC), tenant, keep_alive=settings.cache.keep_alive)
    finally:
        file.close()
    if as_json:
        print_json(report_to_json(found))
    else:
        typer.echo(report_to_text(found))


@app.command()
def check(
    traffic: FileArgument = None,
    since: SinceOption = "7d",
    tenant: WhoseOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay traffic: show the first byte that broke a prefix, and how often caches of each lifetime would be read."""
    from ragkit.caching import check as cache_check

    if traffic is not None:
        seen = cache_check.read_traffic(traffic)
    else:
        seen = run(_from_ledger(read_settings(store, None, config), since, tenant))
    found = cache_check.check(seen)
    if as_json:
        print_json(cache_check.check_to_json(found))
    else:
        typer.echo(cache_check.check_to_text(found))


async def _from_ledger(settings: Settings, since: str, tenant: str | None) -> list[Seen]:
    from ragkit.caching.check import from_receipts
    from ragkit.ledgers import opened
    from ragkit.reports.spending import parse_moment

    now = datetime.now(UTC)
    async with opened(settings) as ledger:
        return from_receipts(await ledger.receipts(parse_moment(since, now, "UTC"), now, tenant))
