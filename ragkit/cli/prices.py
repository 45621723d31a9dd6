"""`ragkit prices`: the price table, models compared on a request, and the table checked against another one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, print_json

if TYPE_CHECKING:
    from ragkit.models import Catalogue, ModelSpec
    from ragkit.nouns import Lane
    from ragkit.prices.listing import Choice
    from ragkit.prices.pricing import Band

app = typer.Typer(help="List, compare and check what models cost.", invoke_without_command=True)

ProviderOption = Annotated[str | None, typer.Option("--provider", help="Only this provider's models.")]
TierOption = Annotated[str | None, typer.Option("--tier", help="Only this tier: small, medium or large.")]
KindOption = Annotated[str | None, typer.Option("--kind", help="Only generate, embed, rerank or decide.")]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")]
LaneOption = Annotated[str, typer.Option("--lane", help="standard, batch, flex or priority.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="Where it computes, if that has a price.")]
AtOption = Annotated[
    datetime | None, typer.Option("--at", formats=["%Y-%m-%d"], help="Prices of this day.", show_default="today")
]
CompareOption = Annotated[
    str | None, typer.Option("--compare", metavar="INPUT:OUTPUT[:CACHED]", help="Price a request of so many tokens.")
]
SameOption = Annotated[bool, typer.Option("--same-tokens", help="Compare without the tokenizers' factors.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="litellm or genai-prices.")]


@app.callback()
def prices(
    context: typer.Context,
    provider: ProviderOption = None,
    tier: TierOption = None,
    kind: KindOption = None,
    model: ModelOption = None,
    lane: LaneOption = "standard",
    region: RegionOption = None,
    at: AtOption = None,
    compare: CompareOption = None,
    same_tokens: SameOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what models cost, in dollars per million tokens, or compare them on a request."""
    if context.invoked_subcommand is not None:
        return
    from ragkit.prices.listing import Choice

    choice = Choice(_day(at), provider, tier, kind, model, _lane(lane), region)
    catalogue = _catalogue(config)
    if compare is not None:
        _compare(catalogue, compare, choice, same_tokens=same_tokens, as_json=as_json)
    else:
        _list(catalogue, choice, as_json=as_json)


@app.command()
def check(
    source: SourceOption = None, at: AtOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Compare the price table with that of litellm or genai-prices, whichever is installed."""
    from ragkit.prices.check import check_prices, check_to_json

    found = check_prices(_catalogue(config), _day(at), source)
    if as_json:
        print_json(check_to_json(found))
        return
    rows = [
        (model, name, lane, f"> {above:,}" if above else "", f"{it.ours}", f"{it.theirs}", it.why or "UNEXPLAINED")
        for it in found.differences
        for model, name, lane, above in [it.key]
    ]
    if rows:
        _table(("model", "class", "lane", "prompt", "ours", "theirs", "why"), rows)
    alone = len({key[0] for key in found.only_ours})
    typer.echo(
        f"{found.source}: {found.agreed} prices agree, {len(rows)} differ ({len(found.unexplained)} unexplained),"
        f" {len(found.only_ours)} prices of {alone} models are listed only here"
    )


def _list(catalogue: Catalogue, choice: Choice, *, as_json: bool) -> None:
    from ragkit.prices.listing import listed, per_unit, spec_to_json

    found = listed(catalogue, choice)
    warnings = catalogue.warnings(choice.at, [spec.id for spec, _ in found])
    if as_json:
        models = [spec_to_json(spec, bands, choice) for spec, bands in found]
        print_json({"price_version": catalogue.version, "warnings": list(warnings), "models": models})
        return
    columns = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_30m", "search")
    rows = [
        (
            "" if band.above else spec.id,
            f"> {band.above:,}" if band.above else "",
            *(prices.get(column, "") for column in columns),
            _doubt(spec, band),
        )
        for spec, bands in found
        for band in bands
        for prices in [per_unit(band)]
    ]
    heads = ("model", "prompt", "in", "out", "read", "write 5m", "write 1h", "write 30m", "per 1000", "")
    used = [index for index in range(len(heads)) if index < 2 or any(row[index] for row in rows)]
    _table([heads[index] for index in used], [[row[index] for index in used] for row in rows])
    typer.echo(f"dollars per million tokens, lane {choice.lane}, {choice.at:%Y-%m-%d}; prices {catalogue.version}")
    _warn(warnings)


def _doubt(spec: ModelSpec, band: Band) -> str:
    """How sure a price is, where it is not simply listed by the provider."""
    return next((word for word in (spec.confidence, band.confidence) if word != "listed"), "")


def _compare(catalogue: Catalogue, shape_text: str, choice: Choice, *, same_tokens: bool, as_json: bool) -> None:
    from ragkit.money import format_usd
    from ragkit.prices.listing import compare, offer_to_json, parse_shape

    offers = compare(catalogue, parse_shape(shape_text), choice, same_tokens=same_tokens)
    warnings = catalogue.warnings(choice.at, [offer.spec.id for offer in offers])
    if as_json:
        models = [offer_to_json(offer) for offer in offers]
        print_json({"price_version": catalogue.version, "warnings": list(warnings), "models": models})
        return
    rows = [
        (
            offer.spec.id,
            f"{offer.spec.tier}",
            f"{offer.usage.prompt:,}",
            f"{offer.usage.output:,}",
            f"${format_usd(offer.pico)}",
        )
        for offer in offers
    ]
    _table(("model", "tier", "prompt", "out", "cost"), rows)
    typer.echo("tokens are estimated in each model's own tokenizer" if not same_tokens else "same tokens for all")
    _warn(warnings)


def _catalogue(config: Path | None) -> Catalogue:
    from ragkit.config import load_settings
    from ragkit.models import Catalogue

    file = load_settings(config).prices.file
    return Catalogue.of(file)


def _day(at: datetime | None) -> datetime:
    return datetime.now(UTC) if at is None else at.replace(tzinfo=UTC)


def _lane(name: str) -> Lane:
    from ragkit.errors import ConfigError
    from ragkit.prices.file import LANES

    for lane in LANES:
        if lane == name:
            return lane
    raise ConfigError(f"there is no lane '{name}': write one of {', '.join(LANES)}")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from ragkit.reports.table import text_table

    typer.echo(text_table(heads, rows))


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
