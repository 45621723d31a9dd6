"""Replays traffic on one set-up: the real line, the real SDKs and the twin, with one clock for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ragkit.batches.job import Question
from ragkit.batches.sending import Env
from ragkit.batches.service import Batches
from ragkit.compute import Compute, at_once
from ragkit.errors import RagkitError
from ragkit.money import from_usd
from ragkit.nouns import Answer, Chunk, Hit, Receipt, Usage
from ragkit.prompt import render_prefix
from ragkit.rag import Ragkit
from ragkit.savings import ABSTAINED
from ragkit.settings import Settings
from ragkit.tokens import estimate_tokens
from ragkit_eval.levers import Step
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import Passage
from ragkit_eval.sandbox import Base, Library, twin_overlay
from ragkit_eval.scoring import Scorer
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Options
from ragkit_eval.workload import Ask, Inputs, Workload

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""When the replayed traffic begins; prices are those of that day."""
BATCH_SECONDS = 600.0
RATES = 10**9
"""The twin's rate limits, so high that they do not matter: a replay has all of its time at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a question. `evidence` are the chunks selected for it, by id, with their estimated tokens.

    `prompt` and `output` are tokens as billed, `in_prefix` those of the prompt that came from or went to a cache.
    `cost_pico` is what is known of the cost, all of it unless that is `unknown`. `declined` questions cost no call.
    """

    case: str
    cost_pico: int
    in_context: float | None
    tier: str
    model: str
    prompt: int
    output: int
    in_prefix: int
    evidence: tuple[tuple[str, int], ...] = ()
    abstained: bool = False
    batched: bool = False
    error: str = ""
    declined: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """A set-up's outcomes in the order of the traffic, and what the twin invoiced less all receipts."""

    step: Step
    outcomes: tuple[Outcome, ...]
    difference_pico: int

    @property
    def cost_pico(self) -> int:
        return sum(outcome.cost_pico for outcome in self.outcomes)


async def replay(
    workload: Workload, step: Step, inputs: Inputs, library: Library, *, name: str = "", compute: Compute = at_once
) -> Replayed:
    """Ask every question at its time; those that can wait are batched together at the end.

    The index is a copy called `name`, which must not be one of an earlier replay.
    """
    options = Options(
        batch_seconds=BATCH_SECONDS,
        requests_per_minute=RATES,
        input_tokens_per_minute=RATES,
        output_tokens_per_minute=RATES,
    )
    failing = inputs.format_failures if "structured" not in step.levers else 0.0
    faults = [Fault("schema_break", probability=failing)] if failing else []
    with running_twin(options=options, faults=faults, seed=inputs.seed, start=START, rate=0) as twin:
        settings = _settings(step, twin)
        copy = await library.copy(workload.data, settings, name or _folder(step), clock=twin.clock.now)
        settings = settings.model_copy(update={"store": settings.store.model_copy(update={"path": copy.path})})
        async with Ragkit.open(settings, clock=twin.clock.now, compute=compute) as rag:
            replayer = _Replayer(RagkitSystem(rag, copy.homes), Scorer.of(workload.data), twin)
            outcomes = await replayer.run(workload.asks, batching="batch" in step.levers)
        billed = sum(outcome.cost_pico for outcome in outcomes)
        return Replayed(step, outcomes, twin.invoice.total_pico - billed)


def _settings(step: Step, twin: RunningTwin) -> Settings:
    return Base(environment={}).settings(twin_overlay(twin), step.overlay())


def _folder(step: Step) -> str:
    return "-".join((*sorted(step.levers), step.sent.name.replace(" ", "-")))


class _Replayer:
    """Asks questions one after the other, so that a replay is the same every time."""

    def __init__(self, system: RagkitSystem, scorer: Scorer, twin: RunningTwin) -> None:
        self._system = system
        self._rag = system.rag
        self._scorer = scorer
        self._twin = twin

    async def run(self, asks: Sequence[Ask], *, batching: bool) -> tuple[Outcome, ...]:
        outcomes: dict[int, Outcome] = {}
        for number, ask in enumerate(asks):
            now = (self._twin.clock.now() - START).total_seconds()
            self._twin.clock.advance(max(0.0, ask.at - now))
            if not (batching and ask.patient):
                outcomes[number] = await self._ask(ask)
        waiting = [(number, ask) for number, ask in enumerate(asks) if number not in outcomes]
        outcomes.update(await self._batch(waiting))
        return tuple(outcomes[number] for number in range(len(asks)))

    async def _ask(self, ask: Ask) -> Outcome:
        try:
            answer = await self._rag.answer(self._system.query(ask.case))
        except RagkitError as error:
            return _failed(ask, error.receipt, error)
        chunks = {chunk.id: chunk for chunk in (*answer.prefix.chunks, *(hit.chunk for hit in answer.hits))}
        return self._outcome(ask, answer, tuple(chunks.values()))

    def _outcome(self, ask: Ask, answer: Answer, seen: Sequence[Chunk]) -> Outcome:
        usage = sum((event.usage for event in answer.receipt.events), Usage())
        return Outcome(
            ask.case.id,
            answer.receipt.cost_pico or 0,
            self._in_context(ask, seen),
            answer.route.model.tier,
            answer.route.model.id,
            usage.prompt,
            usage.output,
            usage.cache_read + usage.cache_written,
            _sizes(answer.hits),
            answer.abstained,
            declined=any(saving.lever == ABSTAINED for saving in answer.receipt.savings),
            unknown=answer.receipt.cost_pico is None,
        )

    async def _batch(self, waiting: Sequence[tuple[int, Ask]]) -> dict[int, Outcome]:
        """The whole batch lane: prepared, held, submitted, collected when the twin's clock has made it due."""
        if not waiting:
            return {}
        lane = Batches(self._rag.parts, self._rag, Env(now=self._twin.clock.now))
        report = await lane.submit([Question(str(number), ask.case.question) for number, ask in waiting])
        asked = dict(waiting)
        while report.job.state == "open":
            self._twin.clock.advance(BATCH_SECONDS + 60)
            report = await lane.collect(report.job.id)
        return {
            number: await self._batched(asked[number], item.answer or {}, item.reason)
            for item in report.items
            for number in (int(item.question.id),)
        }

    async def _batched(self, ask: Ask, told: Mapping[str, Any], reason: str) -> Outcome:
        """A batch keeps no texts, so what the model saw is searched for again, which is free and the same."""
        receipt = told.get("receipt") or {"events": [], "savings": [], "cost_usd": "0"}
        events, cost = receipt["events"], receipt["cost_usd"]
        usages = [event["usage"] for event in events]
        hits = await self._rag.search(self._system.query(ask.case), selected=True)
        cached = ("cache_read", "cache_write_5m", "cache_write_1h")
        route = told.get("route") or {}
        return Outcome(
            ask.case.id,
            0 if cost is None else from_usd(cost),
            self._in_context(ask, [hit.chunk for hit in hits]),
            route.get("tier", "failed"),
            route.get("model", ""),
            sum(usage.get("input", 0) + sum(usage.get(name, 0) for name in cached) for usage in usages),
            sum(usage.get("output", 0) for usage in usages),
            sum(usage.get(name, 0) for usage in usages for name in cached),
            _sizes(hits),
            bool(told.get("abstained")),
            batched=True,
            error=reason,
            declined=any(saving["lever"] == ABSTAINED for saving in receipt["savings"]),
            unknown=cost is None,
        )

    def _in_context(self, ask: Ask, chunks: Sequence[Chunk]) -> float | None:
        homes = self._system.homes
        seen = [Passage(homes.get(chunk.source, chunk.source), chunk.text, chunk.tokens) for chunk in chunks]
        return self._scorer.in_context(ask.case, seen)


def _sizes(hits: Sequence[Hit]) -> tuple[tuple[str, int], ...]:
    return tuple((hit.chunk.id, _size(hit.chunk)) for hit in hits)


@lru_cache(maxsize=8192)
def _size(chunk: Chunk) -> int:
    """As a prompt shows it, tags included; kept a while, since every set-up sends the same chunks."""
    return estimate_tokens(render_prefix((chunk,)))


def _failed(ask: Ask, receipt: Receipt | None, error: RagkitError) -> Outcome:
    """Nothing was in the context of an answer that never came."""
    cost = 0 if receipt is None else receipt.cost_pico
    return Outcome(ask.case.id, cost or 0, 0.0, "failed", "", 0, 0, 0, error=str(error), unknown=cost is None)
