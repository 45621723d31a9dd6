"""`ragkit budget`: set limits, see where they stand, and what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit.budget import Budget, BudgetChange, Standing
    from ragkit.settings import Settings

app = typer.Typer(help="Set budgets and see where they stand.", no_args_is_help=True)

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="WHOM", help="all, or key=, tenant=, user=, tag=, model= or lane= with a name, or * for each one."
    ),
]
LimitArgument = Annotated[str, typer.Argument(metavar="USD|none", help="Dollars per window; none ends the budget.")]
PerOption = Annotated[
    str, typer.Option("--per", help="question, hour, day, week, month, total, or a rolling length such as 24h.")
]
ZoneOption = Annotated[str, typer.Option("--zone", help="Where days begin, such as Europe/Berlin.")]
DegradeOption = Annotated[
    bool,
    typer.Option("--degrade/--refuse", help="Near the limit, answer more cheaply; or only refuse what does not fit."),
]
NoteOption = Annotated[str, typer.Option("--note", help="Why; kept in the history.")]


@app.command("set")
def set_(
    whom: TargetArgument,
    limit: LimitArgument,
    per: PerOption = "month",
    zone: ZoneOption = "UTC",
    degrade: DegradeOption = False,
    note: NoteOption = "",
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Limit what is spent; what was spent in the current window before counts."""
    from ragkit.budget import Budget, parse_limit, parse_target
    from ragkit.window import parse_window

    settings = read_settings(store, None, config)
    scope, subject = parse_target(whom, settings.tenant)
    on_exceed = "degrade" if degrade else "refuse"
    budget = Budget(scope, subject, parse_window(per, zone), parse_limit(limit), on_exceed)  # type: ignore[arg-type]
    run(_set(settings, budget, note))
    if as_json:
        print_json(_budget_to_json(budget))
    else:
        typer.echo(_sentence(budget))


@app.command("list")
def list_(store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the budgets in force and where they stand."""
    budgets, standings = run(_read(read_settings(store, None, config)))
    if as_json:
        rows = [_budget_to_json(budget) for budget in budgets]
        print_json({"budgets": rows, "standings": [_standing_to_json(standing) for standing in standings]})
        return
    from ragkit.reports.spending import simulated_note
    from ragkit.reports.table import text_table

    if not budgets:
        typer.echo("no budgets: `ragkit budget set tenant=NAME 100 --per month` makes one")
        return
    typer.echo(text_table(("whom", "per", "limit", "at the limit"), [_budget_row(budget) for budget in budgets]))
    if standings:
        heads = ("subject", "per", "spent", "held", "left", "used", "resets")
        typer.echo("\n" + text_table(heads, [_standing_row(standing) for standing in standings]))
    for standing in standings:
        if note := simulated_note(standing.simulated_pico, f"of what {standing.charge.whom} has spent"):
            typer.echo(f"{note}, but budgets count it")


@app.command()
def history(store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every change of a budget, the oldest first."""
    changes = run(_history(read_settings(store, None, config)))
    if as_json:
        rows = [{"at": it.at.isoformat(), "note": it.note, **_budget_to_json(it.budget)} for it in changes]
        print_json({"changes": rows})
        return
    for change in changes:
        typer.echo(
            f"{change.at:%Y-%m-%d %H:%M} UTC  {_sentence(change.budget)}" + (f" ({change.note})" * bool(change.note))
        )


async def _set(settings: Settings, budget: Budget, note: str) -> None:
    from ragkit.ledgers import opened

    async with opened(settings, create=True) as ledger:
        await ledger.set_budget(budget, note)


async def _read(settings: Settings) -> tuple[tuple[Budget, ...], tuple[Standing, ...]]:
    from ragkit.ledgers import opened

    async with opened(settings) as ledger:
        return await ledger.budgets(), await ledger.all_standings()


async def _history(settings: Settings) -> tuple[BudgetChange, ...]:
    from ragkit.ledgers import opened

    async with opened(settings) as ledger:
        return await ledger.budget_history()


def _sentence(budget: Budget) -> str:
    from ragkit.money import format_usd

    if budget.limit_pico is None:
        return f"{budget.whom}: no limit per {budget.window}"
    return f"{budget.whom}: at most ${format_usd(budget.limit_pico)} per {budget.window}, then {budget.on_exceed}"


def _budget_row(budget: Budget) -> tuple[str, ...]:
    from ragkit.money import format_usd

    return budget.whom, str(budget.window), f"${format_usd(budget.limit_pico or 0)}", budget.on_exceed


def _standing_row(standing: Standing) -> tuple[str, ...]:
    from ragkit.money import format_usd

    used = standing.held_pico + standing.posted_pico
    share = f"{100 * used / standing.limit_pico:.1f}%" if standing.limit_pico else "100%"
    amounts = (standing.posted_pico, standing.held_pico, standing.left_pico)
    resets = f"{standing.resets:%Y-%m-%d %H:%M} UTC" if standing.resets else "never"
    charge = standing.charge
    return charge.whom, str(charge.budget.window), *(f"${format_usd(it)}" for it in amounts), share, resets


def _budget_to_json(budget: Budget) -> dict[str, str | None]:
    from ragkit.reports.spending import usd

    window = {"window": budget.window.name, "zone": budget.window.zone}
    limit = {"limit_usd": usd(budget.limit_pico), "on_exceed": budget.on_exceed}
    return {"scope": budget.scope, "subject": budget.subject, **window, **limit}


def _standing_to_json(standing: Standing) -> dict[str, str | None]:
    from ragkit.money import format_usd

    return {
        "whom": standing.charge.whom,
        "window": standing.charge.budget.window.name,
        "spent_usd": format_usd(standing.posted_pico),
        "simulated_usd": format_usd(standing.simulated_pico),
        "held_usd": format_usd(standing.held_pico),
        "left_usd": format_usd(standing.left_pico),
        "resets": standing.resets.isoformat() if standing.resets else None,
    }
