"""What a question pays for knowing its cost: classify, decide, look at budgets, hold, price and settle.

`python bench/costpath.py [--questions 5000] [--memory FOLDER] [--disk FOLDER]`. The ledger is the real one, its file in
a folder that is kept in memory, so that no disk is written or synced; `--disk` measures the same on one. Three nested
budgets apply and three models are weighed. The garbage collector is kept short as in `ragkit serve`. `writes` is the
part of `hold` and `settle` in which the question waits for the ledger's transaction, from handing it over until it is
told that it is committed; `rest` is the whole without it. Beside the clock on the wall stands the processor's time of
all threads, which other work on the machine disturbs less. What is slow is slow by chance, and no question twice: so
the p99 that counts is the median of those of each thousand questions.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar, cast

from figures import Figure, keep
from ledger import LIMIT, NESTED

from ragkit import load_settings
from ragkit.budget import Budget
from ragkit.calls.attempt import Attempt
from ragkit.checkout import Order
from ragkit.ledger import Hold, Ledger, Purchase
from ragkit.nouns import Account, Chunk, Prompt, Query, Receipt, Request, Usage
from ragkit.parts import Parts
from ragkit.prompt import render
from ragkit.route import Policy, decide
from ragkit.routing.complexity import Scorer
from ragkit.routing.cost import Market
from ragkit.routing.signals import policy_of, scorer_of, signals_of
from ragkit.savings import Counterfactual
from ragkit.structured import answer_schema
from ragkit.window import parse_window
from ragkit_api.pauses import shorten

STAGES = ("classify", "decide", "budgets", "hold", "price", "settle", "whole", "writes", "rest")
BAR = 1.0
MEMORY = Path("/dev/shm")
"""Where Linux keeps files in memory."""
WARM, ROUND = 200, 1000
T = TypeVar("T")
Spent = tuple[float, float]
"""Seconds on the wall's clock and of the processor."""
COMPARED = Counterfactual("claude-opus-5-5", 300, k=40, fixed=400, retrieved=9_000, sent=1_200)
WORDS = """pump motor filter bearing warranty pressure housing cable noise frost compare explain why how long must be
replaced covers lasts maker hours operation when it was delivered and what the difference between both means""".split()  # noqa: SIM905


def text(words: int, dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=words)).capitalize()


def now() -> tuple[float, float]:
    """The wall's clock and the processor's."""
    return time.perf_counter(), time.process_time()


class Watched:
    """The ledger, and how long its caller waited for what it writes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.standings, self.release = ledger.standings, ledger.release
        self.waited: Spent = (0.0, 0.0)

    async def hold(self, purchase: Purchase) -> Hold:
        return await self._watch(self._ledger.hold(purchase))

    async def settle(self, hold: Hold, receipt: Receipt, *more: Hold) -> None:
        await self._watch(self._ledger.settle(hold, receipt, *more))

    async def _watch(self, writing: Awaitable[T]) -> T:
        began = now()
        written = await writing
        self.waited = plus(self.waited, minus(now(), began))
        return written


def plus(one: Spent, other: Spent) -> Spent:
    return one[0] + other[0], one[1] + other[1]


def minus(one: Spent, other: Spent) -> Spent:
    return one[0] - other[0], one[1] - other[1]


@dataclass(frozen=True, slots=True)
class Bench:
    """What is there before a question comes."""

    parts: Parts
    scorer: Scorer
    policy: Policy


async def one(bench: Bench, number: int, question: str, chunks: list[Chunk], prompt: Prompt) -> list[Spent]:
    """The seconds of each stage, in the order of `ragkit.rag`."""
    parts, policy = bench.parts, bench.policy
    account = Account(f"tenant-{number % 10}", key=f"key-{number % 50}")
    marks = [now()]
    signals = signals_of(Query(question, account), chunks, 0.5, bench.scorer)
    marks.append(now())
    market = Market(parts.catalogue, parts.clock(), regions=parts.regions)
    route = decide(parts.ladder.models, signals, market, policy).route
    marks.append(now())
    ledger = Watched(parts.ledger)
    payer = replace(parts.payer(account, parts.clock()), ledger=cast("Ledger", ledger))
    order = Order(payer, f"receipt-{number}", COMPARED)
    await order.pressure()
    marks.append(now())
    await order.admit(Request(prompt, route.model, answer_schema().schema, 1024))
    marks.append(now())
    order.rendered(prompt, route.model.tier)
    usage = Usage(input=prompt.tokens, output=250)
    attempt = Attempt("generate", "anthropic", route.model.id, usage, 1.0, 1, route.reason, "ok")
    order.record(attempt, route.model, prompt)
    marks.append(now())
    await order.close(answered=True)
    marks.append(now())
    whole = minus(marks[-1], marks[0])
    stages = [minus(after, before) for before, after in pairwise(marks)]
    return [*stages, whole, ledger.waited, minus(whole, ledger.waited)]


async def measure(folder: Path, questions: int) -> list[list[Spent]]:
    """Seconds per stage of each question, the whole last; one question after the other."""
    providers = {"anthropic": {"api_key": "nobody is asked"}}
    settings = load_settings(environment={}, overrides={"store": {"path": folder}, "providers": providers})
    parts, dice = Parts.build(settings), random.Random(1)
    for scope, subject, window in NESTED:
        await parts.ledger.set_budget(Budget(scope, subject, parse_window(window), LIMIT))
    scorer = scorer_of(settings.routing)
    bench, rows = Bench(parts, scorer, policy_of(settings.routing, scorer)), []
    for number in range(questions + WARM):
        if number == WARM:
            shorten()
        question = text(dice.randint(6, 30), dice)
        chunks = [Chunk(str(n), "d", "guide.md", text(180, dice), 0, 1, n, 250) for n in range(5)]
        rows.append(await one(bench, number, question, chunks, render(question, chunks)))
    audit = await parts.ledger.audit()
    assert (audit.open_holds, audit.differences) == (0, ())
    await parts.aclose()
    return rows[WARM:]


def show(place: str, rows: list[list[Spent]]) -> None:
    print(f"{place}: {len(rows):,} questions, one after the other (bar: p99 {BAR:g} ms without the durable writes)")
    print(f"  {'ms':10} {'p50':>7} {'p99':>7}   {'cpu p50':>7} {'p99':>7}")
    for name, spent in zip(STAGES, zip(*rows, strict=True), strict=True):
        walls, cpus = (_p50_p99(its) for its in zip(*spent, strict=True))
        print(f"  {name:10} {walls[0]:7.3f} {walls[1]:7.3f}   {cpus[0]:7.3f} {cpus[1]:7.3f}")
    tails = tails_of(rows)
    print(f"  rest, p99 of each {ROUND:,}: {', '.join(f'{tail:.3f}' for tail in tails)}")


def tails_of(rows: list[list[Spent]]) -> list[float]:
    """The p99 of `rest`, in milliseconds, of each round of questions."""
    rounds = [rows[start : start + ROUND] for start in range(0, len(rows), ROUND)]
    return [_p50_p99([row[-1][0] for row in each])[1] for each in rounds]


def _p50_p99(seconds: Sequence[float]) -> tuple[float, float]:
    """In milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return 1e3 * cuts[49], 1e3 * cuts[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=5000)
    memory = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    parser.add_argument("--memory", type=Path, default=memory, help="a folder whose files are kept in memory")
    parser.add_argument("--disk", type=Path, help="a folder on a disk, to measure that as well")
    options = parser.parse_args()
    for name, place in (("memory", options.memory), ("disk", options.disk)):
        if place is None:
            continue
        with tempfile.TemporaryDirectory(dir=place) as folder:
            rows = asyncio.run(measure(Path(folder), options.questions))
        show(name, rows)
        if name == "memory":
            tail = statistics.median(tails_of(rows))
            keep(Figure("cost path without durable writes, p99", "ms", tail, "less", bar=BAR))


if __name__ == "__main__":
    main()
