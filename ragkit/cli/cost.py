"""`ragkit cost`: what was spent, where it will stand, and what it would have been."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli import audit
from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit.ledger import Bill, Cell
    from ragkit.nouns import Receipt
    from ragkit.reports.forecast import Outlook
    from ragkit.reports.spending import Report, Span
    from ragkit.settings import Settings

app = typer.Typer(help="Report, forecast, replay and audit what was spent.", no_args_is_help=True)
app.command()(audit.quote)
app.command()(audit.receipt)
app.command()(audit.reconcile)

ByOption = Annotated[str, typer.Option("--by", help="day, tenant, model, lane, lever, kind or tier.")]
SinceOption = Annotated[str, typer.Option("--since", help="A day, a time, or how long ago, such as 7d.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="A day or a time.", show_default="now")]
WhoseOption = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant.", show_default="all")]
ZoneOption = Annotated[str, typer.Option("--zone", help="Where days begin, such as Europe/Berlin.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw it, too.")]
PerOption = Annotated[str, typer.Option("--per", help="The window that ends: hour, day, week or month.")]
LimitOption = Annotated[str | None, typer.Option("--limit", metavar="USD", help="Warn where this would be exceeded.")]
ModelsOption = Annotated[
    list[str] | None, typer.Option("--model", "-m", metavar="NEW|OLD=NEW", help="Ask another model instead.")
]
KOption = Annotated[int | None, typer.Option("--k", min=1, help="Send at most so many chunks.")]
TtlOption = Annotated[str | None, typer.Option("--ttl", help="Cache prefixes for 5m, 30m, 1h or 12h.")]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Cache no prefix.")]


@app.command()
def report(
    by: ByOption = "day",
    since: SinceOption = "30d",
    until: UntilOption = None,
    tenant: WhoseOption = None,
    zone: ZoneOption = "UTC",
    plot: PlotOption = None,
    csv: CsvOption = False,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add up what was spent and saved, from the ledger alone."""
    from ragkit.reports import spending as reports

    kind, span = reports.parse_by(by), _span(since, until, zone)
    cells, bills = run(_sums(read_settings(store, None, config), span, tenant))
    found = reports.report(kind, cells, bills, span)
    if plot is not None:
        from ragkit.reports.plot import write_png

        write_png(found, plot)
    if as_json:
        print_json(reports.report_to_json(found))
    elif csv:
        typer.echo(reports.report_to_csv(found), nl=False)
    else:
        _print_report(found)


@app.command()
def forecast(
    per: PerOption = "month",
    limit: LimitOption = None,
    tenant: WhoseOption = None,
    zone: ZoneOption = "UTC",
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell where spending will stand at the end of the window, from the rhythm of the last weeks."""
    from ragkit.budget import parse_limit
    from ragkit.reports.forecast import outlook, outlook_to_json, parse_forecast_window

    window, now = parse_forecast_window(per, zone), datetime.now(UTC)
    cells = run(_history(read_settings(store, None, config), now, tenant))
    found = outlook(cells, window, now, limit_pico=None if limit is None else parse_limit(limit))
    if as_json:
        print_json(outlook_to_json(found))
    else:
        _print_outlook(found)


@app.command("what-if")
def what_if(
    model: ModelsOption = None,
    k: KOption = None,
    ttl: TtlOption = None,
    no_cache: NoCacheOption = False,
    since: SinceOption = "30d",
    until: UntilOption = None,
    tenant: WhoseOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay the recorded questions under other models, chunks or caches, at the prices of their days."""
    from ragkit.models import Catalogue
    from ragkit.reports.whatif import Change, outcome_to_json, parse_models, parse_ttl, replay

    settings = read_settings(store, None, config)
    file = settings.prices.file
    catalogue = Catalogue.of(file)
    models = parse_models(model or (), catalogue)
    change = Change(models, k, None if ttl is None else parse_ttl(ttl), cache=not no_cache)
    found = replay(run(_receipts(settings, _span(since, until, "UTC"), tenant)), catalogue, change)
    from ragkit.reports.spending import simulated_note

    numbers = outcome_to_json(found)
    if as_json:
        print_json(numbers)
        return
    typer.echo(
        f"{found.questions:,} questions, {found.changed:,} of {found.events:,} events would change:"
        f" ${numbers['what_if_usd']} instead of ${numbers['actual_usd']} (estimated)"
    )
    if found.unknown:
        typer.echo(f"{found.unknown:,} events of unknown cost are left out")
    if note := simulated_note(found.simulated_pico, "of what it did cost"):
        typer.echo(note)


def _span(since: str, until: str | None, zone: str) -> Span:
    from ragkit.errors import ConfigError
    from ragkit.reports.spending import Span, parse_moment

    now = datetime.now(UTC)
    span = Span(parse_moment(since, now, zone), now if until is None else parse_moment(until, now, zone), zone)
    if span.since >= span.until:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}: nothing lies between")
    return span


async def _sums(settings: Settings, span: Span, tenant: str | None) -> tuple[tuple[Cell, ...], tuple[Bill, ...]]:
    from ragkit.ledgers import opened

    async with opened(settings) as ledger:
        when = (span.since, span.until, tenant)
        return await ledger.cells(*when), await ledger.bills(*when)


async def _history(settings: Settings, now: datetime, tenant: str | None) -> tuple[Cell, ...]:
    from ragkit.ledgers import opened
    from ragkit.reports.forecast import HISTORY

    async with opened(settings) as ledger:
        return await ledger.cells(now - HISTORY - timedelta(days=32), now, tenant)


async def _receipts(settings: Settings, span: Span, tenant: str | None) -> list[Receipt]:
    from ragkit.ledgers import opened

    async with opened(settings) as ledger:
        return list(await ledger.receipts(span.since, span.until, tenant))


def _print_report(found: Report) -> None:
    from ragkit.reports.plot import terminal_bars
    from ragkit.reports.spending import declined_note, line_to_json, simulated_note
    from ragkit.reports.table import text_table

    rows = [line_to_json(line) for line in (*found.lines, found.total)]
    shown = [key for key in rows[0] if key == "group" or any(row[key] for row in rows[:-1])]
    parts = {"simulated_usd": found.total.simulated_pico, "declined_usd": found.total.declined_pico}
    shown = [key for key in shown if parts.get(key, 1)]
    heads = [found.by if key == "group" else key.replace("_usd", " USD").replace("_", " ") for key in shown]
    typer.echo(text_table(heads, [[_cell(row[key]) for key in shown] for row in rows]))
    typer.echo("\n" + terminal_bars(found.lines))
    for note in (declined_note(found), simulated_note(found.total.simulated_pico, "of what was spent")):
        if note:
            typer.echo("\n" + note)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _print_outlook(found: Outlook) -> None:
    from ragkit.money import format_usd
    from ragkit.reports.spending import simulated_note

    low, mid, high = (f"${format_usd(it // 10**8 * 10**8)}" for it in (found.low_pico, found.mid_pico, found.high_pico))
    typer.echo(f"{found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC")
    typer.echo(f"  spent     ${format_usd(found.spent_pico)}")
    typer.echo(f"  forecast  {mid}, with 80 % between {low} and {high}")
    typer.echo(f"            (estimated from {found.days} days, by {found.rhythm})")
    if found.limit_pico is not None:
        until = f"is reached about {found.runs_out:%Y-%m-%d %H:%M} UTC" if found.runs_out else "is not reached"
        typer.echo(f"  limit     ${format_usd(found.limit_pico)} {until}")
    for alert in found.alerts:
        typer.echo(f"  ALERT     {alert}")
    if note := simulated_note(found.simulated_pico, "of the spending that this is made from"):
        typer.echo(note)
