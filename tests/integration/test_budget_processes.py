"""Processes that share one ledger, and processes that die."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postgres import new_schema
from ragkit.budget import Budget, Scope
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.window import parse_window

CHILD = Path(__file__).with_name("ledger_child.py")
BUDGETS: tuple[tuple[Scope, str, str, int], ...] = (
    ("all", "", "month", 30),
    ("tenant", "*", "total", 35),
    ("key", "*", "1d", 9),
)
"""Scope, subject, window, and the limit per caller: about half of what they ask for fits."""
Opener = Callable[[Options], SqlLedger]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.db")
        return
    with new_schema() as schema:
        yield schema.dsn


def open_ledger(place: str, options: Options | None = None) -> SqlLedger:
    options = options or Options(patience=60.0)
    if place.endswith(".db"):
        return open_sqlite(place, options)
    from ragkit.ledgers.postgres import open_postgres

    return open_postgres(place, options)


def spend(place: str, callers: int, seed: int, mode: str) -> list[dict[str, Any]]:
    """Two processes with half of the callers each, started at the same moment; what they reported."""
    with ExitStack() as stack:
        children = [start(stack, place, callers // 2, seed * 2 + number, mode) for number in range(2)]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    return [json.loads(line) for output, _ in outputs for line in output.splitlines()]


def start(stack: ExitStack, place: str, callers: int, seed: int, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), place, str(callers), str(seed), mode]
    child = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )
    stack.callback(child.kill)
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line == '{"ready": true}\n', child.communicate()
    return child


async def set_budgets(place: str, factor: int) -> dict[str, int]:
    limits: dict[str, int] = {}
    ledger = open_ledger(place)
    for scope, subject, window, limit in BUDGETS:
        limits[scope] = limit * factor
        await ledger.set_budget(Budget(scope, subject, parse_window(window), limit * factor))
    await ledger.aclose()
    return limits


async def race(place: str, callers: int, seed: int) -> None:
    """Holds only: nothing above a limit was admitted, and nothing was refused that would still fit at the end."""
    limits = await set_budgets(place, callers)
    reports = await asyncio.to_thread(spend, place, callers, seed, "hold")
    admitted = [it for it in reports if "admitted" in it]
    refused = [it for it in reports if "refused" in it]
    assert len(admitted) + len(refused) == callers
    assert len(admitted) > callers / 4
    assert len(refused) > callers / 20

    def total(report: dict[str, Any]) -> int:
        scope = report["by"].partition("=")[0]
        return sum(it["admitted"] for it in admitted if scope != "key" or it["who"] == report["who"])

    for scope in ("all", "tenant"):
        assert sum(it["admitted"] for it in admitted) <= limits[scope]
    for key in {it["who"] for it in admitted}:
        assert sum(it["admitted"] for it in admitted if it["who"] == key) <= limits["key"]
    assert [it for it in refused if total(it) + it["refused"] <= limits[it["by"].partition("=")[0]]] == []
    ledger = open_ledger(place)
    audit = await ledger.audit()
    assert (audit.held_pico, audit.posted_pico) == (sum(it["admitted"] for it in admitted), 0)
    assert audit.differences == ()
    await ledger.aclose()


async def test_two_processes_share_one_budget(place: str) -> None:
    await race(place, callers=200, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
async def test_a_thousand_callers_in_two_processes_share_one_budget(place: str, seed: int) -> None:
    await race(place, callers=1000, seed=seed)


async def test_nothing_that_fits_is_refused_and_nothing_stays_held(place: str) -> None:
    """Settled, released and cancelled in two processes, under budgets that just hold everything at once."""
    callers = 200
    ledger = open_ledger(place)
    await ledger.set_budget(Budget("all", "", parse_window("month"), asked(callers, seed=7)))
    reports = await asyncio.to_thread(spend, place, callers, 7, "end")
    assert [it for it in reports if "refused" in it] == []
    await ledger.sweep()
    audit = await ledger.audit()
    assert (audit.open_holds, audit.held_pico) == (0, 0)
    assert audit.posted_pico == sum(it["posted"] for it in reports)
    assert audit.differences == ()
    await ledger.aclose()


def asked(callers: int, seed: int) -> int:
    """What the children will ask for, drawn as they draw it."""
    total = 0
    for number in range(2):
        dice = random.Random(seed * 2 + number)
        total += sum((dice.randint(0, 3), dice.randint(1, 100))[1] for _ in range(callers // 2))
    return total


def read_settled(child: subprocess.Popen[str], count: int) -> str:
    """What the child says until that many of its holds are settled."""
    assert child.stdout is not None
    said: list[str] = []
    while sum('"settled"' in line for line in said) < count:
        said.append(child.stdout.readline())
        assert said[-1], "the child ended by itself"
    return "".join(said)


async def test_what_a_killed_process_held_is_posted_once_after_its_lease(place: str) -> None:
    with ExitStack() as stack:
        child = start(stack, place, 20, 3, "spend")
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        output = await asyncio.to_thread(read_settled, child, 25)
        child.kill()
        output += child.communicate()[0]
    lines = [json.loads(line) for line in output.splitlines() if line.endswith("}")]
    held = {it["held"] for it in lines if "held" in it}
    settled = {it["settled"] for it in lines if "settled" in it}
    assert len(settled) > 20

    ledger = open_ledger(place)
    before = await ledger.audit()
    bills = await ledger.bills(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1))
    receipts = sum(it.receipts for it in bills)
    assert len(settled) <= receipts <= len(settled) + 20
    assert len(held - settled) - 20 <= before.open_holds <= 20
    assert before.posted_pico == receipts
    assert (before.held_pico > 0) == (before.open_holds > 0)
    for id_ in settled:
        assert await ledger.receipt("default", f"r-{id_}") is not None
    await ledger.aclose()

    later = Options(patience=60.0, clock=lambda: datetime.now(UTC) + timedelta(minutes=6))
    heirs = [open_ledger(place, later) for _ in range(3)]
    await asyncio.gather(*(heir.sweep() for heir in heirs))
    for heir in heirs:
        after = await heir.audit()
        assert (after.open_holds, after.held_pico) == (0, 0)
        assert after.posted_pico == before.posted_pico + before.held_pico
        assert after.differences == ()
        await heir.aclose()
