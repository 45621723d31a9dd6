"""`ragkit verify`: do documents and chunks agree?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ragkit.cli.options import ConfigOption, JsonOption, StoreOption, print_json, read_settings, run
from ragkit.errors import PARTIAL_FAILURE

if TYPE_CHECKING:
    from ragkit.config import Settings
    from ragkit.store import Reconciliation

RepairOption = Annotated[bool, typer.Option("--repair", help="Delete leftovers and list what to ingest again.")]


def verify(
    repair: RepairOption = False, store: StoreOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Reconcile every document's record with its chunks."""
    from ragkit.present import reconciliation_text, reconciliation_to_json

    found = run(_verify(read_settings(store, None, config), repair))
    if as_json:
        print_json(reconciliation_to_json(found))
    else:
        typer.echo(reconciliation_text(found))
    if not found.clean:
        raise typer.Exit(PARTIAL_FAILURE)


async def _verify(settings: Settings, repair: bool) -> Reconciliation:
    from ragkit.rag import Ragkit

    async with Ragkit.open(settings) as rag:
        return await rag.verify(repair=repair)
