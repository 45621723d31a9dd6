"""`ragkit key`: make the keys of the REST service, list, replace and revoke them, and see what was done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, print_json, read_settings, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from ragkit.settings import Settings
    from ragkit_api.keys import Key
    from ragkit_api.records import Records

app = typer.Typer(help="Make, list, rotate and revoke keys of the REST service.", no_args_is_help=True)

OPERATOR = "operator"
KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of a key, as `ragkit key list` shows it.")]
NameOption = Annotated[str, typer.Option("--name", help="What it is for.")]
ScopesOption = Annotated[str, typer.Option("--scopes", help="query, ingest, admin and metrics, separated by commas.")]
ExpiresOption = Annotated[str | None, typer.Option("--expires", help="How long it may be used, such as 90d.")]
RateOption = Annotated[int | None, typer.Option("--rate", min=1, help="Requests a minute.")]
BudgetOption = Annotated[str | None, typer.Option("--budget", metavar="USD", help="What it may spend per window.")]
PerOption = Annotated[str, typer.Option("--per", help="The window of the budget.")]
OverlapOption = Annotated[str, typer.Option("--overlap", help="How long the old key may still be used, such as 24h.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Lines to show.")]


@app.command()
def create(
    tenant: TenantOption = None,
    name: NameOption = "",
    scopes: ScopesOption = "query",
    expires: ExpiresOption = None,
    rate: RateOption = None,
    budget: BudgetOption = None,
    per: PerOption = "month",
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key; it is shown once, and only its HMAC is kept."""
    from ragkit_api.records import NewKey
    from ragkit_api.secret import read_secret

    settings = read_settings(store, tenant, config)
    new = NewKey(settings.tenant, name, scopes, None if expires is None else _length(expires), rate)
    key, whole = run(_with(settings, lambda records: records.create_key(new, read_secret(settings), OPERATOR)))
    if budget is not None:
        run(_limit(settings, key, budget, per))
    _show(key, whole, as_json)


@app.command("list")
def list_(
    tenant: TenantOption = None, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the keys of a tenant, or of all."""
    settings = read_settings(store, None, config)
    keys = run(_with(settings, lambda records: records.keys(tenant)))
    if as_json:
        print_json({"keys": [_key_to_json(key) for key in keys]})
        return
    from ragkit.reports.table import text_table

    heads = ("id", "tenant", "name", "scopes", "state", "expires", "rate")
    typer.echo(text_table(heads, [_row(key) for key in keys]) if keys else "no keys: `ragkit key create` makes one")


@app.command()
def rotate(
    key_id: KeyArgument,
    overlap: OverlapOption = "24h",
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key like this one, which can be used until the overlap is over."""
    from ragkit_api.secret import read_secret

    settings, both = read_settings(store, None, config), _length(overlap)
    key, whole = run(_with(settings, lambda it: it.rotate_key(key_id, read_secret(settings), OPERATOR, both)))
    _show(key, whole, as_json)


@app.command()
def revoke(
    key_id: KeyArgument, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Revoke a key; within seconds nobody can use it any more."""
    settings = read_settings(store, None, config)
    key = run(_with(settings, lambda records: records.revoke_key(key_id, OPERATOR)))
    if as_json:
        print_json(_key_to_json(key))
    else:
        typer.echo(f"revoked {key.id} of tenant {key.tenant}")


@app.command()
def audit(
    tenant: TenantOption = None,
    limit: LimitOption = 100,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who did what, the latest first."""
    deeds = run(_with(read_settings(store, None, config), lambda records: records.deeds(tenant, limit)))
    names = ("actor", "tenant", "action", "subject", "detail")
    if as_json:
        rows = [{"at": at.isoformat(), **{name: getattr(deed, name) for name in names}} for at, deed in deeds]
        print_json({"audit": rows})
        return
    from ragkit.reports.table import text_table

    rows_ = [(f"{at:%Y-%m-%d %H:%M:%S}", *(getattr(deed, name) for name in names)) for at, deed in deeds]
    typer.echo(text_table(("at (UTC)", *names), rows_) if rows_ else "nothing was done yet")


async def _with(settings: Settings, work: Callable[[Records], Awaitable[Any]]) -> Any:
    from ragkit_api.records import Records

    records = Records(settings)
    try:
        return await work(records)
    finally:
        await records.aclose()


async def _limit(settings: Settings, key: Key, budget: str, per: str) -> None:
    from ragkit.budget import Budget, parse_limit
    from ragkit.ledgers import opened
    from ragkit.window import parse_window

    async with opened(settings, create=True) as ledger:
        await ledger.set_budget(Budget("key", key.id, parse_window(per, "UTC"), parse_limit(budget)), "with its key")


def _length(text: str) -> timedelta:
    from datetime import timedelta

    from ragkit.errors import ConfigError
    from ragkit.window import parse_window

    window = parse_window(text)
    if window.period != "rolling":
        raise ConfigError(f"'{text}' is no length of time: write one such as 24h or 90d")
    return timedelta(seconds=window.seconds)


def _show(key: Key, whole: str, as_json: bool) -> None:
    if as_json:
        print_json({**_key_to_json(key), "key": whole})
        return
    typer.echo(whole)
    typer.echo(f"key {key.id} of tenant {key.tenant}: keep it, it is not shown again", err=True)


def _key_to_json(key: Key) -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": list(key.scopes),
        "rate": key.rate,
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }


def _row(key: Key) -> tuple[str, ...]:
    from datetime import UTC, datetime

    state = "revoked" if key.revoked else "usable" if key.usable(datetime.now(UTC)) else "expired"
    expires = f"{key.expires:%Y-%m-%d}" if key.expires else "never"
    rate = "" if key.rate is None else f"{key.rate}/min"
    return key.id, key.tenant, key.name, ",".join(key.scopes), state, expires, rate
