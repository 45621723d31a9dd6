"""`ragkit twin`: simulated providers on loopback, to rehearse a bill before a cent is spent."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from ragkit.cli.options import JsonOption, print_json

PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]
FaultsOption = Annotated[Path | None, typer.Option("--faults", help="Fault script, .toml or .json.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides where a fault's probability applies.")]
ClockOption = Annotated[datetime | None, typer.Option("--clock", help="Start of the twin's clock, in UTC.")]
RateOption = Annotated[float, typer.Option("--rate", min=0, help="Seconds of its clock per real second; 0 freezes it.")]


def twin(
    port: PortOption = 0,
    faults: FaultsOption = None,
    seed: SeedOption = 0,
    clock: ClockOption = None,
    rate: RateOption = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Simulate the providers on this machine until Ctrl-C: their protocols, caches, prices and failures."""
    from ragkit_eval.twin.rehearsal import open_twin, twin_to_json, welcome

    with open_twin(port=port, faults=faults, seed=seed, clock=clock, rate=rate) as running:
        print_json(twin_to_json(running)) if as_json else typer.echo(welcome(running))
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            invoice = running.invoice
            typer.echo(f"simulated invoice: {len(invoice.lines)} lines, {invoice.known_usd:f} USD", err=True)
