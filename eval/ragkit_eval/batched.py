"""Asks the questions of a cell through the providers' batches, at half price; conversations are asked live."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.batches.job import Item, Question
from ragkit.errors import ConfigError
from ragkit.money import from_usd
from ragkit_eval.cases import Case
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import Passage, Reply, System

POLL_SECONDS = 30.0
TOKENS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


@dataclass(frozen=True, slots=True)
class Batched:
    """Replies that a batch has brought, by case; a case that is not among them is asked live."""

    system: System
    replies: Mapping[str, Reply]

    async def ask(self, case: Case) -> Reply:
        reply = self.replies.get(case.id)
        return await self.system.ask(case) if reply is None else reply


async def ask_batched(cases: Sequence[Case], system: System, *, poll: float = POLL_SECONDS) -> Batched:
    """Submit all questions without a conversation before them and wait until their batches have ended.

    The same questions again continue a job that was interrupted. Questions that fail in a batch are asked live.
    """
    if not isinstance(system, RagkitSystem):
        raise ConfigError('mode "batch" is for ragkit itself: compare other frameworks in mode "live" or "twin"')
    alone = {case.id: case for case in cases if not case.history}
    if not alone:
        return Batched(system, {})
    lane = system.rag.batches
    report = await lane.submit([Question(case.id, case.question) for case in alone.values()])
    while report.job.state == "open":
        await asyncio.sleep(poll)
        report = await lane.collect(report.job.id)
    answered = [item for item in report.items if item.state == "answered"]
    return Batched(system, {item.question.id: await _reply(item, alone[item.question.id], system) for item in answered})


async def _reply(item: Item, case: Case, system: RagkitSystem) -> Reply:
    """A batch keeps no texts of chunks: they are searched for again, which is the same and free."""
    told: Mapping[str, Any] = item.answer or {}
    receipt, route = told["receipt"], told["route"]
    hits = await system.rag.search(system.query(case), selected=True)
    homes = [system.homes.get(hit.chunk.source, hit.chunk.source) for hit in hits]
    seen = tuple(Passage(home, hit.chunk.text, hit.chunk.tokens) for home, hit in zip(homes, hits, strict=True))
    usages = [event["usage"] for event in receipt["events"]]
    return Reply(
        text=told["answer"],
        context=seen,
        ranking=tuple(homes),
        cost_pico=None if receipt["cost_usd"] is None else from_usd(receipt["cost_usd"]),
        seconds=0.0,
        cited=tuple(system.homes.get(it["source"], it["source"]) for it in told["citations"]),
        abstained=told["abstained"],
        model=route["model"],
        tier=route["tier"],
        baseline_pico=from_usd(receipt["baseline_usd"]),
        tokens={kind: count for kind in TOKENS if (count := sum(usage.get(kind, 0) for usage in usages))},
        savings={saving["lever"]: from_usd(saving["usd"]) for saving in receipt["savings"]},
        reason=route["reason"],
    )
