"""Commands of `ragkit cost` that look at single purchases: before they are made, afterwards, and beside an invoice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, TenantOption, print_json, read_settings, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ragkit.foresee import Foreseen
    from ragkit.ledger import Posting
    from ragkit.models import Catalogue
    from ragkit.nouns import Receipt
    from ragkit.reports.reconcile import Line, Reconciliation
    from ragkit.settings import Settings

QuestionArgument = Annotated[str, typer.Argument(help="The question.")]
ReceiptArgument = Annotated[str, typer.Argument(metavar="ID", help="The receipt's id, as an answer shows it.")]
InvoiceArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV or JSON with id, at, model and amount_usd of each request.")
]
WITHIN_HELP = "How long after its hold a call may be billed."
WithinOption = Annotated[int, typer.Option("--within", metavar="MINUTES", min=1, help=WITHIN_HELP)]
UNCLEAN = 1
"""Exit code where the ledger and an invoice do not agree, or a receipt cannot be computed again."""


def quote(
    question: QuestionArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a question would cost: expected, at most, and what budgets leave. Nothing is sent."""
    from ragkit.foresee import foreseen_to_json

    found = run(_foresee(question, read_settings(store, tenant, config)))
    numbers = foreseen_to_json(found)
    if as_json:
        print_json(numbers)
        return
    typer.echo("no model would be asked" if found.route is None else f"{numbers['model']}: {numbers['reason']}")
    typer.echo(f"  expected  ${numbers['expected_usd']} (estimated)")
    typer.echo(f"  at most   ${numbers['most_usd']}, with every retry, fallback and repair at its longest")
    typer.echo(f"  left      {'no budget applies' if found.left_pico is None else '$' + numbers['left_usd']}")


def receipt(
    receipt_id: ReceiptArgument,
    store: StoreOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a receipt from the ledger alone, and compute every amount on it again."""
    from ragkit.errors import ConfigError
    from ragkit.receipt import receipt_to_json, render_receipt
    from ragkit.reports.audit import differences

    settings = read_settings(store, tenant, config)
    found = run(_receipt(receipt_id, settings))
    if found is None:
        raise ConfigError(f"tenant '{settings.tenant}' has no receipt '{receipt_id}' on the ledger: check both")
    wrong = differences(found, _catalogue(settings))
    if as_json:
        print_json({**receipt_to_json(found), "differences": list(wrong)})
    else:
        typer.echo(render_receipt(found))
        typer.echo("\n".join(f"  DIFFERS   {it}" for it in wrong) or "  audited   all amounts come out the same again")
    if wrong:
        raise typer.Exit(UNCLEAN)


def reconcile(
    invoice: InvoiceArgument,
    within: WithinOption = 15,
    store: StoreOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with a provider's invoice, line by line; unknown costs are known by then."""
    from ragkit.reports.reconcile import concerning, read_invoice, reconcile, reconciliation_to_json

    settings, lines = read_settings(store, None, config), read_invoice(invoice)
    allowed, catalogue = timedelta(minutes=within), _catalogue(settings)
    postings = concerning(run(_postings(settings, lines, allowed)), lines, _provider_of(catalogue))
    found = reconcile(postings, lines, within=allowed, canonical=_canonical(catalogue))
    if as_json:
        print_json(reconciliation_to_json(found))
    else:
        _print_reconciliation(found)
    if not found.clean:
        raise typer.Exit(UNCLEAN)


def _catalogue(settings: Settings) -> Catalogue:
    from ragkit.models import Catalogue

    return Catalogue.of(settings.prices.file)


async def _foresee(question: str, settings: Settings) -> Foreseen:
    from ragkit.foresee import foresee
    from ragkit.query import make_query
    from ragkit.rag import Ragkit

    query = make_query(question, settings)
    async with Ragkit.open(settings) as rag:
        return await foresee(await rag.preview(query), query, rag.parts)


async def _receipt(receipt_id: str, settings: Settings) -> Receipt | None:
    from ragkit.ledgers import opened

    async with opened(settings) as ledger:
        return await ledger.receipt(settings.tenant, receipt_id)


async def _postings(settings: Settings, lines: Sequence[Line], within: timedelta) -> tuple[Posting, ...]:
    """Everything that could be on the invoice."""
    from ragkit.errors import ConfigError
    from ragkit.ledgers import opened
    from ragkit.reports.reconcile import EARLY

    if not lines:
        raise ConfigError("the invoice has no lines: nothing can be compared")
    times = [line.at for line in lines]
    async with opened(settings) as ledger:
        return await ledger.postings(min(times) - within, max(times) + EARLY)


def _canonical(catalogue: Catalogue) -> Callable[[str], str]:
    """Names of models as the price table has them, where it has them."""
    from ragkit.errors import UnpricedModel

    def canonical(name: str) -> str:
        bare = name.rpartition(":")[2]
        try:
            return catalogue.resolve(bare)
        except UnpricedModel:
            return bare

    return canonical


def _provider_of(catalogue: Catalogue) -> Callable[[str], str]:
    """Who bills for a model: its provider by the price table, or the model itself where that has none."""
    from ragkit.errors import UnpricedModel

    canonical = _canonical(catalogue)

    def provider_of(name: str) -> str:
        model = canonical(name)
        try:
            return catalogue.model(model).provider or model
        except UnpricedModel:
            return model

    return provider_of


def _print_reconciliation(found: Reconciliation) -> None:
    from ragkit.money import format_usd

    unknown, wrong = found.unknown_pico, found.difference_pico
    typer.echo(f"ledger      ${format_usd(found.ledger_pico)}")
    typer.echo(f"invoice     ${format_usd(found.invoice_pico)}")
    typer.echo(f"unknown     ${format_usd(unknown)} more was posted for {len(found.settled)} calls of unknown cost")
    typer.echo(f"difference  ${format_usd(wrong)} beyond that; {found.agreed:,} requests agree to the last digit")
    for it in found.wrong:
        typer.echo(f"  WRONG     {it.what}: posted ${format_usd(it.posted_pico)}, billed ${format_usd(it.billed_pico)}")
    for line in found.missing:
        typer.echo(f"  MISSING   {line.id} of {line.at:%Y-%m-%d %H:%M} by {line.model}: ${format_usd(line.pico)}")
    for it in found.unbilled:
        typer.echo(f"  UNBILLED  {it.what}: posted ${format_usd(it.posted_pico)}")
