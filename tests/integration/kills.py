"""A process that is killed at a named step of a batch and begun again: what every kind of job has to survive."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import forks
from ragkit.budget import Budget
from ragkit.ledgers import open_ledger
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Receipt
from ragkit.window import parse_window
from ragkit_eval.twin.fixture import RunningTwin
from tests.integration.batch_world import DONE, held, invoiced, settings, urls

Run = Callable[..., int]
CREATES = {
    "anthropic": "/v1/messages/batches",
    "openai": "/v1/batches",
    "gemini": ":batchGenerateContent",
    "vertex": "/batchPredictionJobs",
}
"""Where batches are created, by provider."""


class Child:
    """Orders to a process that carries each out in a fork."""

    def __init__(self, script: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=forks.environment(),
        )

    def run(self, **order: Any) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    def at(self, twin: RunningTwin, folder: Path, **more: Any) -> Run:
        """Runs an action in a folder, to its end or until it reaches a step for the nth time."""

        def run(action: str, step: str = "", nth: int = 1) -> int:
            place = {"folder": str(folder), "urls": urls(twin), "now": twin.clock.now().isoformat(), **more}
            return self.run(action=action, step=step, nth=nth, **place)

        return run


def kill(run: Run, twin: RunningTwin, first: str, at: tuple[str, str, int]) -> None:
    """Kill the `first` action or the collecting at a step, begin that one again, and see the job to its end."""
    action, step, nth = at
    if action == "collect":
        assert run(first) == 0
        twin.clock.advance(DONE)
    assert run(action, step, nth) == -signal.SIGKILL
    if action == first:
        assert run(first) == 0
        twin.clock.advance(DONE)
    assert run("collect") == 0


async def bought_once(
    twin: RunningTwin, folder: Path, provider: str, kept: Sequence[Receipt], *, batches: int = 1
) -> None:
    """So many batches were created, at half price, and the ledger has what the invoice has; nothing stays held."""
    created = [it for it in twin.requests if it.method == "POST" and it.path.endswith(CREATES[provider])]
    assert len(created) == batches
    assert {line.lane for line in twin.invoice.lines} == {"batch"}
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin) > 0
    assert await held(folder) == 0


async def limit(folder: Path, twin: RunningTwin, model: str) -> None:
    """A budget, so that what is held can be seen."""
    ledger = open_ledger(settings(folder, urls(twin), model))
    await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), PICO_PER_USD, "refuse"))
    await ledger.aclose()
