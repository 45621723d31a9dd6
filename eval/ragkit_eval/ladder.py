"""What each lever is worth: naive, one lever after the other, each alone, each left out, and the clairvoyant's bill."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean

from ragkit.local.formats import Work
from ragkit.local.hardware import find_gpu, find_model
from ragkit.local.plan import LocalPlan, Wanted, make_plan
from ragkit.local.speed import NONE, Speculation
from ragkit.models import Catalogue
from ragkit_eval.clairvoyant import Foresight, Sizes
from ragkit_eval.evidence import EVERY_CHUNK, Evidence, by_score, weigh
from ragkit_eval.levers import Step, all_but, distinct, each_alone, each_left_out, one_after_the_other, other_ways
from ragkit_eval.replay import START, Outcome, Replayed, replay
from ragkit_eval.run import Progress
from ragkit_eval.sandbox import Library
from ragkit_eval.workload import Inputs, Workload, build_workload

TOLERANCE = 0.01
"""How much less often than naive's the context may hold the answer."""
FLOORS = (0.2, 0.1, 0.07, 0.05, 0.04, 0.03, 0.02, 0.015, 0.01, 0.005, 0.0)
CALIBRATED = 600
"""Questions, of another draw than the traffic, that tell from which share of the best score on chunks are kept."""
BETTER = {"local": 0, "small": 1, "medium": 2, "large": 3}


@dataclass(frozen=True, slots=True)
class Rung:
    """A set-up's bill and quality on the traffic. `local_pico` is the machine's part of the cost.

    `in_context` is for how many of the different questions an answer stood in the context, `sufficient` how often the
    tier was good enough. `declined` of those that `abstained` cost no call; `unknown` have no known cost.
    """

    step: Step
    questions: int
    cost_pico: int
    local_pico: int
    in_context: float
    sufficient: float
    abstained: int
    failed: int
    tiers: dict[str, int]
    prompt: float
    output: float
    cached: float
    difference_pico: int
    declined: int = 0
    unknown: int = 0

    @property
    def per_million_usd(self) -> float:
        """For showing."""
        return self.cost_pico / self.questions / 1e6


@dataclass(frozen=True, slots=True)
class Local:
    """A question on the machine of one's own, in pico-dollars: as planned, and in 16 bits without drafts."""

    plan: LocalPlan
    pico: int
    plain_pico: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """Everything that `ragkit eval ladder` shows."""

    inputs: Inputs
    workload: Workload
    rungs: tuple[Rung, ...]
    alone: tuple[Rung, ...]
    left_out: tuple[Rung, ...]
    other_ways: tuple[Rung, ...]
    clairvoyant_pico: int
    as_routed_pico: int
    local: Local
    evidence: Evidence
    seconds: float

    @property
    def naive(self) -> Rung:
        return self.rungs[0]

    @property
    def whole(self) -> Rung:
        return self.rungs[-1]


@dataclass(frozen=True, slots=True)
class _Job:
    data: Path
    folder: Path
    inputs: Inputs
    step: Step


def run_ladder(data: Path, folder: Path, inputs: Inputs, progress: Callable[[Progress], None]) -> Ladder:
    """Replay the traffic on every set-up, as many at once as there are cores."""
    began = time.monotonic()
    for name in ("indexes", "setups"):
        shutil.rmtree(folder / name, ignore_errors=True)
    workload = build_workload(data, inputs)
    evidence = asyncio.run(_enough(workload, folder, inputs))
    groups = tuple(make(evidence) for make in (one_after_the_other, each_alone, each_left_out, other_ways))
    steps = distinct([step for group in groups for step in group])
    jobs = [_Job(data, folder, inputs, step) for step in steps]
    found = {it.step.what: it for it in _replay_all(jobs, progress)}
    whole = found[Step("", all_but(), evidence).what].outcomes
    plain = found[Step("", all_but("caching"), evidence).what].outcomes
    local = plan_local(whole, inputs)
    rungs, alone, left_out, ways = (
        tuple(rung_of(step, found[step.what], workload, local) for step in group) for group in groups
    )
    foresight = Foresight(Sizes.fitted(workload.asks, plain), Catalogue.load(), local.pico, batching=True)
    return Ladder(
        inputs,
        workload,
        rungs,
        alone,
        left_out,
        ways,
        foresight.bill(workload.asks, whole),
        foresight.bill(workload.asks, whole, as_routed=True),
        local,
        evidence,
        time.monotonic() - began,
    )


def _replay_all(jobs: Sequence[_Job], progress: Callable[[Progress], None]) -> Iterator[Replayed]:
    began, context = time.monotonic(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        waiting: set[Future[Replayed]] = {pool.submit(_replay_one, job) for job in jobs}
        done = 0
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                done += 1
                left = (time.monotonic() - began) / done * (len(jobs) - done)
                questions = jobs[0].inputs.questions
                progress(Progress(done * questions, len(jobs) * questions, left))
                yield future.result()


def _replay_one(job: _Job) -> Replayed:
    workload = build_workload(job.data, job.inputs)
    return asyncio.run(replay(workload, job.step, job.inputs, Library(job.folder)))


async def _enough(workload: Workload, folder: Path, inputs: Inputs) -> Evidence:
    """The fewest reranked chunks that keep naive's answers in the context, by another draw of questions."""
    ways = [EVERY_CHUNK, *map(by_score, FLOORS)]
    sample = workload.data.sample(CALIBRATED, inputs.seed + 1)
    found = await weigh(ways, sample, Library(folder), "calibration")
    naive = next(it.in_context for it in found if it.evidence == EVERY_CHUNK)
    # Shares of some hundred questions: half a point exactly is within the tolerance.
    lost = {it.evidence: round(naive - it.in_context, 6) for it in found}
    enough = [it for it in found if it.evidence != EVERY_CHUNK and lost[it.evidence] <= TOLERANCE / 2]
    return min(enough, key=lambda it: it.tokens).evidence if enough else by_score(0.0)


def plan_local(outcomes: Sequence[Outcome], inputs: Inputs) -> Local:
    """The machine that the local tier's questions keep busy, at the stated share of its time."""
    own = [outcome for outcome in outcomes if outcome.tier == "local"] or list(outcomes)
    prompt, output = round(fmean(it.prompt for it in own)), max(1, round(fmean(it.output for it in own)))
    cached = Fraction(sum(it.in_prefix for it in own), max(1, sum(it.prompt for it in own)))
    work = Work(prompt, output, cached=cached)
    model, gpu, prices = find_model(inputs.local_model), find_gpu(inputs.gpu), (Catalogue.load(), START)
    plan = make_plan(model, gpu, work, Speculation(), Wanted(), prices)
    plain = make_plan(model, gpu, work, NONE, Wanted("bf16"), prices)
    busy = Fraction(inputs.utilisation).limit_denominator(1000)
    return Local(plan, round(plan.costs.full_pico / busy), round(plain.costs.full_pico / busy))


def rung_of(step: Step, found: Replayed, workload: Workload, local: Local) -> Rung:
    """A replay as it is shown, the machine's part of the cost included."""
    outcomes, questions = found.outcomes, len(found.outcomes)
    own = sum(outcome.tier == "local" for outcome in outcomes) * local.pico
    tiers: dict[str, int] = {}
    for outcome in outcomes:
        tiers[outcome.tier] = tiers.get(outcome.tier, 0) + 1
    prompt = sum(outcome.prompt for outcome in outcomes)
    enough = [_sufficient(ask.needed, it.tier) for ask, it in zip(workload.asks, outcomes, strict=True)]
    return Rung(
        step,
        questions,
        found.cost_pico + own,
        own,
        _in_context(outcomes),
        fmean(enough),
        sum(outcome.abstained for outcome in outcomes),
        sum(bool(outcome.error) for outcome in outcomes),
        tiers,
        prompt / questions,
        sum(outcome.output for outcome in outcomes) / questions,
        sum(outcome.in_prefix for outcome in outcomes) / max(1, prompt),
        found.difference_pico,
        sum(outcome.declined for outcome in outcomes),
        sum(outcome.unknown for outcome in outcomes),
    )


def _in_context(outcomes: Sequence[Outcome]) -> float:
    """Every different question counts once, or the most popular one alone would decide."""
    found: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.in_context is not None:
            found.setdefault(outcome.case, []).append(outcome.in_context)
    return fmean(fmean(values) for values in found.values())


def _sufficient(needed: str, tier: str) -> bool:
    """A copied or remembered answer is as good as it is sure; a local model counts as a small one."""
    if tier in ("extractive", "cache"):
        return True
    return BETTER.get(tier, -1) >= (BETTER["local"] if needed == "small" else BETTER[needed])
