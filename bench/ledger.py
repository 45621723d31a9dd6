"""How fast money is held: durable holds per second and their latency, and the cost path without the disk.

python bench/ledger.py [--callers 200] [--seconds 5] [--rate 1500] [--processes 2] [--dsn DSN]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, keep

from ragkit.budget import Budget, Scope, affordable, pressure
from ragkit.ledger import Purchase
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account
from ragkit.window import parse_window

LIMIT = 10**18
NESTED: tuple[tuple[Scope, str, str], ...] = (("all", "", "month"), ("tenant", "*", "day"), ("key", "*", "hour"))


def open_ledger(place: str) -> SqlLedger:
    if place.endswith(".db"):
        return open_sqlite(place, Options())
    from ragkit.ledgers.postgres import open_postgres

    return open_postgres(place, Options())


async def hold_for(ledger: SqlLedger, callers: int, seconds: float, pause: float = 0.0) -> list[float]:
    """Latencies of holds that so many callers take one after the other, with a pause of about this length between."""
    dice = random.Random(1)
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def call(number: int) -> None:
        purchase = Purchase(Account(f"tenant-{number % 10}", key=f"key-{number % 50}"), 1000, "small")
        while time.perf_counter() < until:
            if pause:
                await asyncio.sleep(dice.expovariate(1 / pause))
            began = time.perf_counter()
            await ledger.hold(purchase)
            latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(call(number) for number in range(callers)))
    return latencies


async def prepare(place: str) -> None:
    ledger = open_ledger(place)
    for scope, subject, window in NESTED:
        await ledger.set_budget(Budget(scope, subject, parse_window(window), LIMIT))
    await ledger.aclose()


async def measure(place: str, callers: int, seconds: float, rate: float) -> None:
    ledger = open_ledger(place)
    await ledger.hold(Purchase(Account(), 1, "small"))
    for pause in (callers / rate, 0.0):
        show(callers, seconds, sorted(await hold_for(ledger, callers, seconds, pause)), pause)
    await ledger.aclose()


def show(callers: int, seconds: float, latencies: list[float], pause: float) -> None:
    p50, p99 = (latencies[int(share * len(latencies))] * 1e3 for share in (0.5, 0.99))
    name = f"money held by {callers} callers of a process, {'with' if pause else 'without'} pauses"
    if pause:
        keep(Figure(f"{name}, p99", "ms", p99, "less", bar=20))
    else:
        keep(Figure(name, "holds/s", len(latencies) / seconds, "more"))
    how = "with pauses" if pause else "without pauses"
    print(
        f"  {callers} callers {how}: {len(latencies) / seconds:,.0f} durable holds/s,"
        f" p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {latencies[-1] * 1e3:.0f} ms",
        flush=True,
    )


async def measure_reads(place: str, rounds: int = 2000) -> None:
    """What routing asks before each question: where budgets stand, what is affordable."""
    ledger = open_ledger(place)
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        standings = await ledger.standings(Purchase(Account("tenant-1", key="key-1"), 1000, "small"))
        pressure(standings), affordable(standings)
        took.append(time.perf_counter() - began)
    await ledger.aclose()
    cuts = statistics.quantiles(took, n=100)
    keep(Figure("standing of all budgets, p99", "us", cuts[98] * 1e6, "less"))
    print(f"  standings, pressure and affordable: p50 {cuts[49] * 1e6:.0f} us, p99 {cuts[98] * 1e6:.0f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=1500.0, help="holds per second with pauses, all callers together")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dsn", help="measure this PostgreSQL instead of a SQLite file")
    parser.add_argument("--place", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.place:
        asyncio.run(measure(options.place, options.callers, options.seconds, options.rate))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = options.dsn or str(Path(folder) / "ledger.db")
        asyncio.run(prepare(place))
        print(f"{'PostgreSQL' if options.dsn else 'SQLite'}, {len(NESTED)} nested budgets; bar: 1,000/s, p99 20 ms")
        for processes in sorted({1, options.processes}):
            print(f" {processes} process{'es' if processes > 1 else ''}", flush=True)
            share = ["--place", place, "--callers", str(options.callers // processes)]
            share += ["--rate", str(options.rate / processes)]
            command = [sys.executable, __file__, *share, "--seconds", str(options.seconds)]
            started = [subprocess.Popen(command) for _ in range(processes)]
            if any(process.wait() for process in started):
                sys.exit("a process failed")
        asyncio.run(measure_reads(place))


if __name__ == "__main__":
    main()
