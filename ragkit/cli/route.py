"""`ragkit route`: which model a question would get and why, and whether the router pays on questions of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.fit import fit
from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, print_json, read_settings, run

if TYPE_CHECKING:
    from ragkit.nouns import Chunk
    from ragkit.route import Decision
    from ragkit.routing.report import RouterReport
    from ragkit.settings import Settings

app = typer.Typer(help="Explain, measure and fit the choice of models.", no_args_is_help=True)
app.command()(fit)

QuestionArgument = Annotated[str, typer.Argument(help="The question.")]
OutcomesArgument = Annotated[
    Path, typer.Argument(metavar="FILE.jsonl", help="Lines with text, strong_correct, weak_correct and maybe group.")
]
ByGroupOption = Annotated[bool, typer.Option("--by-group", help="Hold out whole groups: how it does on unseen ones.")]
OwnOption = Annotated[bool, typer.Option("--in-force", help="Measure the router in force, not one trained on these.")]


@app.command()
def explain(
    question: QuestionArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell which model a question would get, what was weighed, and why. Nothing is sent."""
    from ragkit.routing.explain import asked_first, asked_to_json, decision_to_json, explain

    settings = read_settings(store, tenant, config)
    found, note = explain(question, run(_chunks(question, settings)), settings)
    asked = asked_first(question, found, settings)
    if as_json:
        print_json({**decision_to_json(found), "classifier": asked_to_json(asked), "note": note})
    else:
        _print_decision(found, "\n".join(filter(None, (str(asked or ""), note))))


@app.command()
def report(
    outcomes: OutcomesArgument,
    by_group: ByGroupOption = False,
    in_force: OwnOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the router against always one model, prompt length, neighbours, chance and hindsight."""
    from ragkit.routing.outcomes import read_outcomes, report_to_json
    from ragkit.routing.report import report as measure
    from ragkit.routing.signals import scorer_of

    scorer = scorer_of(read_settings(None, None, config).routing) if in_force else None
    found = measure(read_outcomes(outcomes), scorer=scorer, by_group=by_group)
    if as_json:
        print_json(report_to_json(found))
    else:
        _print_report(found)


async def _chunks(question: str, settings: Settings) -> list[Chunk]:
    """What `ask` would answer from; embedders and rerankers that are paid for stay out of it."""
    from ragkit.errors import StoreError
    from ragkit.rag import Ragkit

    free = settings.model_copy(update={name: type(getattr(settings, name))() for name in ("embedder", "reranker")})
    try:
        async with Ragkit.open(free) as rag:
            return [hit.chunk for hit in await rag.search(question, selected=True)]
    except StoreError:
        return []


def _print_decision(found: Decision, note: str) -> None:
    from ragkit.reports.table import text_table

    route = found.route
    typer.echo(f"{route.model.id} ({route.model.tier})\n  {route.reason}")
    rows = [
        [offer.model.id, offer.model.effort or "", f"{offer.warm:.0%}", str(offer).rpartition(": ")[2]]
        for offer in found.offers
    ]
    if rows:
        typer.echo("\n" + text_table(["model", "effort", "warm", "expected (estimated)"], rows))
    if note:
        typer.echo(f"\n{note}")


def _print_report(found: RouterReport) -> None:
    from ragkit.reports.table import text_table

    rows = [
        [one.name, f"{one.calls:.1%}", _range(one.calls_bounds), f"{one.recovered:.3f}", _range(one.recovered_bounds)]
        for one in found.routers
    ]
    typer.echo(f"{found.questions:,} questions: strong {found.strong:.1%}, weak {found.weak:.1%} right\n")
    heads = ["router", "strong calls for 95 %", "95 % bounds", "gap closed", "95 % bounds"]
    typer.echo(text_table(heads, rows))
    typer.echo(f"\n{found.verdict}")


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"
