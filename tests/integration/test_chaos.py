"""Faults, disconnects and kill -9 in the middle of paid questions: what is held comes back, and the books are right."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postgres import new_schema
from ragkit import Ragkit, load_settings
from ragkit.budget import Budget
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.money import PICO_PER_USD, format_usd
from ragkit.reports.reconcile import Line, Reconciliation, reconcile
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Options as TwinOptions

CHILD = Path(__file__).with_name("chaos_child.py")
FAULTS = (
    Fault("rate_limit", probability=0.08, retry_after="0"),
    Fault("overloaded", probability=0.06),
    Fault("server_error", probability=0.05),
    Fault("cut_stream", probability=0.05),
    Fault("malformed_json", probability=0.03),
    Fault("stream_error", probability=0.02),
    Fault("timeout", probability=0.01, billed=True),
    Fault("reset", probability=0.02),
    Fault("slow_tokens", probability=0.04, seconds=0.005),
    Fault("schema_break", probability=0.01),
)
"""Three requests of ten go wrong."""
UNLIMITED = TwinOptions(requests_per_minute=10**9, input_tokens_per_minute=10**12, output_tokens_per_minute=10**12)
PER_ORDER = 400
PATIENCE = 120.0


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Empty for the SQLite file beside the index."""
    if request.param == "sqlite":
        yield ""
        return
    with new_schema() as schema:
        yield schema.dsn


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(options=UNLIMITED, faults=FAULTS, seed=1) as running:
        yield running


@dataclass(slots=True)
class Tally:
    ended: int = 0
    kills: int = 0


class Driver:
    """Gives orders to a child and kills it somewhere in most of them."""

    def __init__(self, folder: Path, dsn: str, twin: RunningTwin, seed: int) -> None:
        self._order = {"folder": str(folder), "dsn": dsn, "url": twin.base_url("anthropic")}
        self._dice = random.Random(seed)
        self._child = subprocess.Popen(
            [sys.executable, str(CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, calls: int, kill_within: int) -> Tally:
        """Until so many questions have ended; each order is killed after at most `kill_within` of them, or not."""
        tally = Tally()
        while tally.ended < calls:
            questions = min(PER_ORDER, calls - tally.ended)
            self._send(questions=questions, first=tally.ended, seed=self._dice.random())
            self._follow(tally, self._dice.randint(1, kill_within))
        return tally

    def close(self) -> None:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait(PATIENCE)

    def _send(self, **what: Any) -> None:
        assert self._child.stdin is not None
        print(json.dumps(self._order | what), file=self._child.stdin, flush=True)

    def _follow(self, tally: Tally, kill_after: int) -> None:
        assert self._child.stdout is not None
        pid, ended = 0, 0
        for line in self._child.stdout:
            said = json.loads(line)
            pid = said.get("pid", pid)
            if "ended" in said:
                ended += 1
                tally.ended += 1
                if ended == kill_after:
                    time.sleep(self._dice.random() / 50)
                    os.kill(pid, signal.SIGKILL)
            if "exit" in said:
                assert said["exit"] in (0, -signal.SIGKILL)
                tally.kills += said["exit"] != 0
                return
        raise AssertionError("the child has died")


def ingest(folder: Path) -> None:
    parts = ("warranty", "motor", "filter", "bearing")
    text = "\n\n".join(f"# The {it}\n\n" + f"The {it} of the pump is checked by its maker. " * 9 for it in parts)
    (folder / "manual.md").write_text(text, encoding="utf-8")

    async def once() -> None:
        settings = load_settings(environment={}, overrides={"store": {"path": folder / "kb"}})
        async with Ragkit.open(settings) as rag:
            await rag.ingest(folder / "manual.md")

    asyncio.run(once())


def open_ledger(folder: Path, dsn: str, options: Options) -> SqlLedger:
    if not dsn:
        return open_sqlite(folder / "kb" / "ledger.db", options)
    from ragkit.ledgers.postgres import open_postgres

    return open_postgres(dsn, options)


async def limit(folder: Path, dsn: str) -> None:
    """Budgets, so that balances are kept and audited."""
    ledger = open_ledger(folder, dsn, Options())
    for scope, subject, window in (("all", "", "month"), ("key", "*", "day"), ("user", "*", "1d")):
        await ledger.set_budget(Budget(scope, subject, parse_window(window), 10**6 * PICO_PER_USD))  # type: ignore[arg-type]
    await ledger.aclose()


def invoice_of(twin: RunningTwin) -> list[Line]:
    """Once the twin has noticed who does not read any more: everything that it began to answer is billed."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        billed = {line.id for line in twin.invoice.lines}
        if all(seen.request_id in billed for seen in twin.requests if seen.status == 200):
            break
        time.sleep(0.05)
    return [Line(line.id, line.at, line.model, line.pico or 0) for line in twin.invoice.lines]


async def after_a_lease(folder: Path, dsn: str, twin: RunningTwin) -> Reconciliation:
    """Sweep with a clock that is a lease ahead, look at every balance, and compare with the invoice."""
    later = Options(patience=60.0, clock=lambda: datetime.now(UTC) + timedelta(seconds=301))
    ledger = open_ledger(folder, dsn, later)
    while await ledger.sweep():
        pass
    audit = await ledger.audit()
    assert (audit.open_holds, audit.held_pico, audit.differences) == (0, 0, ())
    assert sum(standing.held_pico for standing in await ledger.all_standings()) == 0
    now = datetime.now(UTC)
    found = reconcile(await ledger.postings(now - timedelta(days=1), now + timedelta(days=1)), invoice_of(twin))
    assert found.ledger_pico == audit.posted_pico
    await ledger.aclose()
    return found


def told(found: Reconciliation, tally: Tally, twin: RunningTwin) -> str:
    faulty = sum(seen.fault is not None for seen in twin.requests)
    return (
        f"{tally.ended} questions ended, {tally.kills} kills, {len(twin.requests)} requests, {faulty} with a fault,"
        f" {len(twin.invoice.lines)} billed; {found.agreed} agree to the last digit, {len(found.settled)} were unknown;"
        f" ledger {format_usd(found.ledger_pico)}, invoice {format_usd(found.invoice_pico)},"
        f" unknown {format_usd(found.unknown_pico)}, difference {format_usd(found.difference_pico)} USD"
    )


def chaos(tmp_path: Path, dsn: str, twin: RunningTwin, calls: int, kill_within: int) -> None:
    ingest(tmp_path)
    folders = [tmp_path, tmp_path.with_name(tmp_path.name + "-two")] if dsn else [tmp_path]
    if dsn:
        shutil.copytree(tmp_path, folders[1])
    asyncio.run(limit(tmp_path, dsn))
    drivers = [Driver(folder, dsn, twin, seed) for seed, folder in enumerate(folders)]
    shares = [calls // len(drivers)] * len(drivers)

    async def all_at_once() -> list[Tally]:
        runs = (asyncio.to_thread(it.run, share, kill_within) for it, share in zip(drivers, shares, strict=True))
        return list(await asyncio.gather(*runs))

    try:
        tallies = asyncio.run(all_at_once())
    finally:
        for driver in drivers:
            driver.close()
    tally = Tally(sum(it.ended for it in tallies), sum(it.kills for it in tallies))
    found = asyncio.run(after_a_lease(tmp_path, dsn, twin))
    print(told(found, tally, twin))
    assert tally.kills > 0
    assert found.agreed > calls / 2
    assert (found.wrong, found.missing, found.unbilled) == ((), (), ())
    assert found.difference_pico == 0
    assert found.ledger_pico >= found.invoice_pico


def test_killed_and_disturbed_questions_leave_no_hold_and_right_books(
    tmp_path: Path, dsn: str, twin: RunningTwin
) -> None:
    chaos(tmp_path, dsn, twin, calls=60, kill_within=30)


@pytest.mark.slow
def test_ten_thousand_of_them(tmp_path: Path, dsn: str, twin: RunningTwin) -> None:
    chaos(tmp_path, dsn, twin, calls=10_000, kill_within=200)
