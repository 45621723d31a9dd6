"""Finds the cheapest set-up that is good enough for a monthly volume, on the user's own questions.

Half of the questions choose, the other half checks. How many chunks to retrieve, whether to rerank them and how many to
keep is searched without any model; the few ways that are worth their tokens are rehearsed on the twin with and without
each lever: the real line with the real prices, where the line itself chooses prefixes and how long they live. The
promise is the upper end of the cost's 95 % interval, so that it holds for other questions too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragkit.errors import ConfigError
from ragkit.money import PICO_PER_USD
from ragkit_eval.bootstrap import interval
from ragkit_eval.cases import Dataset
from ragkit_eval.evidence import Evidence, Worth, by_score, exactly, weigh, worthwhile
from ragkit_eval.ladder import Local, Rung, plan_local, rung_of
from ragkit_eval.levers import NAMES, Step, all_but
from ragkit_eval.once import Once
from ragkit_eval.replay import Replayed, replay
from ragkit_eval.run import Progress
from ragkit_eval.sandbox import Library
from ragkit_eval.workload import MONTH, Ask, Inputs, Workload

RETRIEVED = (10, 20, 40, 80)
KEPT = (3, 5, 8, 12, 20, 30, 40)
FLOORS = (0.3, 0.1, 0.05, 0.02, 0.01)
NEAR = 3
"""Ways of keeping chunks that are rehearsed: the cheapest that reaches the floor, and those beside it."""
REHEARSALS = 2 * NEAR + 11
"""At most so many set-ups are replayed."""
FIRST = ("caching", "routing", "reranking", "batch", "local")
"""Levers that can be switched on alone."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What must be kept to: a share of questions with their answer in the context, and dollars a month.

    `upkeep_usd` is what it costs a month to look after a router, by which it has to earn its keep.
    """

    floor: float
    budget_usd: int | None = None
    upkeep_usd: int = 2_000


@dataclass(frozen=True, slots=True)
class Option:
    """A set-up, rehearsed: its bill and quality, the cost that is promised and the quality at its lower end."""

    rung: Rung
    promised_pico: int
    promised_quality: float

    @property
    def name(self) -> str:
        return self.rung.step.name

    @property
    def each_pico(self) -> float:
        """The mean cost of a question; only for comparing."""
        return self.rung.cost_pico / self.rung.questions


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, why, and whether it held on the questions that were kept aside."""

    options: tuple[Option, ...]
    chosen: Option | None
    checked: Rung | None
    first: tuple[tuple[str, float], ...]
    routing_pico: float
    local: Local
    inputs: Inputs
    wishes: Wishes


def make_plan(
    data: Dataset, folder: Path, inputs: Inputs, wishes: Wishes, progress: Callable[[Progress], None]
) -> Recommendation:
    """Raises `ConfigError` where there are too few questions to choose and to check."""
    choosing, checking = _halves(data, inputs)
    return asyncio.run(_make_plan(choosing, checking, _Rehearsal(folder, inputs, progress), wishes))


class _Rehearsal:
    """Replays set-ups and counts how many are done."""

    def __init__(self, folder: Path, inputs: Inputs, progress: Callable[[Progress], None]) -> None:
        self.library = Library(folder)
        self.inputs = inputs
        self._progress = progress
        self._once = Once()
        self.done = 0

    async def run(self, work: Workload, step: Step) -> Replayed:
        found = await replay(work, step, self.inputs, self.library, name=f"plan-{self.done}", compute=self._once)
        self.done += 1
        self._progress(Progress(self.done, max(REHEARSALS, self.done), None))
        return found


async def _make_plan(choosing: Workload, checking: Workload, rehearsal: _Rehearsal, wishes: Wishes) -> Recommendation:
    ways = await _worthwhile(choosing, rehearsal.library, wishes.floor)
    naive = await rehearsal.run(choosing, Step("naive", frozenset()))
    found = [naive, *[await rehearsal.run(choosing, step) for step in _steps(ways)]]
    local = plan_local(found[1].outcomes, rehearsal.inputs)
    options = tuple(_option(it, choosing, local) for it in found)
    chosen = _choose(options, wishes, rehearsal.inputs.monthly)
    checked = None
    if chosen is not None:
        checked = rung_of(chosen.rung.step, await rehearsal.run(checking, chosen.rung.step), checking, local)
    alone = [await rehearsal.run(choosing, Step(NAMES[lever], frozenset((lever,)))) for lever in FIRST]
    rungs = [rung_of(it.step, it, choosing, local) for it in alone]
    first = sorted(((it.step.name, 1 - it.cost_pico / naive.cost_pico) for it in rungs), key=lambda it: -it[1])
    return Recommendation(
        options, chosen, checked, tuple(first), _routing_gain(options), local, rehearsal.inputs, wishes
    )


def _steps(ways: Sequence[Evidence]) -> list[Step]:
    """All levers but the answer cache for each way; each left out for the last one, which holds the most answers."""
    last = ways[-1]
    steps = [Step(f"everything, {way.name}", all_but("answers"), way) for way in ways]
    steps += [Step(f"no local model, {way.name}", all_but("answers", "local"), way) for way in ways]
    steps.append(Step(f"everything and the answer cache, {last.name}", all_but(), last))
    steps += [Step(f"no {NAMES[it]}, {last.name}", all_but("answers", it), last) for it in ("caching", "batch")]
    return [*steps, Step(f"no local model, no routing, {last.name}", all_but("answers", "local", "routing"), last)]


def _halves(data: Dataset, inputs: Inputs) -> tuple[Workload, Workload]:
    cases = [case for case in data.sample(len(data.cases), inputs.seed).cases if case.answerable is not False]
    if len(cases) < 20:
        raise ConfigError(f"a plan needs at least 20 answerable questions, and '{data.name}' has {len(cases)}")
    return _traffic(data, cases[::2], inputs), _traffic(data, cases[1::2], inputs)


def _traffic(data: Dataset, cases: Sequence[Any], inputs: Inputs) -> Workload:
    """Each question once, evenly spread at the pace of the volume; every so many of them can wait."""
    pace, chosen = MONTH / inputs.monthly, cases[: inputs.questions]
    every = round(1 / inputs.patient) if inputs.patient else 0
    asks = tuple(
        Ask(number * pace, case, bool(every) and number % every == 0 and not case.history)
        for number, case in enumerate(chosen)
    )
    return Workload(replace(data, cases=tuple(chosen)), asks)


async def _worthwhile(work: Workload, library: Library, floor: float) -> list[Evidence]:
    """Ways of keeping chunks on the front of tokens against answers, around the first that reaches the floor."""
    ways = [exactly(count, k) for k in RETRIEVED for count in KEPT if count <= k]
    ways += [by_score(share, k) for k in RETRIEVED for share in FLOORS]
    ways += [replace(exactly(count), reranker="none") for count in KEPT]
    front = worthwhile(await weigh(ways, work.data, library, "plan-search"))
    return [it.evidence for it in _around(front, floor)]


def _around(front: Sequence[Worth], floor: float) -> Sequence[Worth]:
    place = next((number for number, it in enumerate(front) if it.in_context >= floor), len(front) - 1)
    start = max(0, min(place - 1, len(front) - NEAR))
    return front[start : start + NEAR]


def _option(found: Replayed, work: Workload, local: Local) -> Option:
    rung = rung_of(found.step, found, work, local)
    costs = [float(it.cost_pico + (local.pico if it.tier == "local" else 0)) for it in found.outcomes]
    quality = [it.in_context for it in found.outcomes if it.in_context is not None]
    return Option(rung, round(interval(costs)[1]), interval(quality)[0])


def _choose(options: Sequence[Option], wishes: Wishes, monthly: int) -> Option | None:
    """The cheapest that reaches the floor and whose promise fits the budget."""
    good = [option for option in options if option.rung.in_context >= wishes.floor]
    if wishes.budget_usd is not None:
        good = [it for it in good if it.promised_pico * monthly <= wishes.budget_usd * PICO_PER_USD]
    return min(good, key=lambda option: option.each_pico, default=None)


def _routing_gain(options: Sequence[Option]) -> float:
    """What routing saves on a question, all other levers pulled, in pico-dollars."""
    without = options[-1]
    wanted = (all_but("answers", "local"), without.rung.step.evidence)
    routed = next(it for it in options if it.rung.step.what == wanted)
    return without.each_pico - routed.each_pico
