"""How far a job is and what came of it, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ragkit.batch import Progressing
from ragkit.batches.job import Item, Job, Part
from ragkit.batches.tally import cost_of
from ragkit.money import format_usd

STATES = ("new", "ready", "planned", "live", "asking", "answered", "failed")


@dataclass(frozen=True, slots=True)
class Report:
    """A job with its parts and items; `progress` is what the providers say of parts, where they were asked."""

    job: Job
    parts: tuple[Part, ...]
    items: tuple[Item, ...]
    progress: Mapping[str, Progressing] = field(default_factory=dict)
    resumed: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        found: Counter[str] = Counter(item.state for item in self.items)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def held_pico(self) -> int:
        """What is set aside for questions without a result."""
        return sum(item.hold_pico for item in self.items if item.state == "planned")

    @property
    def cost_pico(self) -> int | None:
        """What the answers cost; None as soon as one of them is unknown."""
        costs = [cost_of(item) for item in self.items if item.answer is not None]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a batch would cost: at most, probably, and probably without the batch lane or without its shared prefix."""

    questions: int
    free: int
    models: tuple[str, ...]
    most_pico: int
    batch_pico: int
    unshared_pico: int
    live_pico: int
    prefixes: tuple[str, ...]


def report_to_json(report: Report, *, answers: bool = False) -> dict[str, Any]:
    job = report.job
    body: dict[str, Any] = {
        "job": job.id,
        "kind": job.kind,
        "state": job.state,
        "reason": job.reason,
        "resumed": report.resumed,
        "at": job.at.isoformat(),
        "deadline": job.deadline.isoformat() if job.deadline else None,
        "questions": len(report.items),
        "counts": dict(report.counts),
        "held_usd": format_usd(report.held_pico),
        "cost_usd": None if report.cost_pico is None else format_usd(report.cost_pico),
        "batches": [_part_to_json(part, report.progress.get(part.id)) for part in report.parts],
    }
    return body | ({"answers": [item_to_json(item) for item in report.items]} if answers else {})


def item_to_json(item: Item) -> dict[str, Any]:
    """A line of the answers: the question with the shape of `ragkit ask --json`, null where there is no answer."""
    answered = item.state == "answered"
    return {
        "id": item.question.id,
        "question": item.question.text,
        "state": item.state,
        "attempt": item.attempt,
        "reason": item.reason,
        "answer": item.answer if answered else None,
        "receipt": None if item.answer is None else item.answer["receipt"],
    }


def report_text(report: Report) -> str:
    job = report.job
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items())
    cost = "unknown" if report.cost_pico is None else f"${format_usd(report.cost_pico)}"
    lines = [
        f"job {job.id}: {job.state}" + (f" ({job.reason})" if job.reason else ""),
        f"  {len(report.items)} {job.kind}: {counts}",
        f"  cost {cost}, held ${format_usd(report.held_pico)}",
    ]
    lines += [_part_text(part, report.progress.get(part.id)) for part in report.parts]
    lines += [f"  {item.question.id}: {item.reason}" for item in report.items if item.state == "failed"]
    if job.state == "open":
        lines.append(f"  next: ragkit batch collect {job.id}")
    return "\n".join(lines)


def quote_to_json(quote: Quote) -> dict[str, Any]:
    return {
        "questions": quote.questions,
        "free": quote.free,
        "models": list(quote.models),
        "most_usd": format_usd(quote.most_pico),
        "batch_usd": format_usd(quote.batch_pico),
        "batch_without_prefix_usd": format_usd(quote.unshared_pico),
        "live_usd": format_usd(quote.live_pico),
        "prefixes": list(quote.prefixes),
        "estimated": True,
    }


def quote_text(quote: Quote) -> str:
    saved = 1 - Decimal(quote.batch_pico) / quote.live_pico if quote.live_pico else Decimal(0)
    lines = [
        f"{quote.questions} questions, {quote.free} of them free, by {', '.join(quote.models) or 'no paid model'}",
        f"  batch  about ${format_usd(quote.batch_pico)}, at most ${format_usd(quote.most_pico)} (this much is held)",
        f"  live   about ${format_usd(quote.live_pico)}: the batch lane saves {saved:.0%} (estimated)",
    ]
    return "\n".join([*lines, *(f"  prefix: {reason}" for reason in quote.prefixes)])


def _part_to_json(part: Part, progress: Progressing | None) -> dict[str, Any]:
    return {
        "id": part.id,
        "provider": part.provider,
        "model": part.model,
        "state": part.state,
        "batch": part.remote or None,
        "cancelled": part.cancelled,
        "reason": part.reason,
        "progress": None if progress is None else progress.progress,
        "done": None if progress is None else progress.done,
        "total": None if progress is None else progress.total,
    }


def _part_text(part: Part, progress: Progressing | None) -> str:
    shown = part.state if progress is None else f"{progress.progress}, {progress.done} of {progress.total} done"
    return f"  {part.provider}/{part.model} {part.remote or '(not submitted)'}: {shown}" + (
        f" ({part.reason})" if part.reason else ""
    )
