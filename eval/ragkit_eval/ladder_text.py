"""The ladder for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ragkit.money import format_usd
from ragkit.reports.table import text_table
from ragkit_eval.evidence import Evidence
from ragkit_eval.ladder import Ladder, Rung

PUBLISHED = (50, 30, 18, 10, 8, 7)
"""Thousand dollars a month at ten million questions, as the field's table has them, one lever after the other."""
HEADS = (
    "step",
    "USD per million",
    "off naive",
    "off before",
    "in context",
    "tier enough",
    "declined",
    "cached",
    "tokens in",
)


def ladder_text(found: Ladder) -> str:
    """All tables, and what the numbers rest on."""
    return "\n".join(
        [
            *about_ladder(found),
            "",
            text_table(HEADS, rung_rows(found.rungs, found.naive, chained=True)),
            "",
            text_table(HEADS, rung_rows(found.other_ways, found.naive, chained=False)),
            "",
            text_table(HEADS, rung_rows(found.alone, found.naive, chained=False)),
            "",
            text_table(HEADS, rung_rows(found.left_out, found.naive, chained=False)),
            "",
            _bounds(found),
            "",
            *local_lines(found),
            "",
            *_published(found),
            "",
            invoices(found),
        ]
    )


def about_ladder(found: Ladder) -> tuple[str, ...]:
    """What was replayed, and the inputs that are no data."""
    inputs, work = found.inputs, found.workload
    return (
        "simulated: the twin answered and billed; prices are real ones, quality is that of retrieval",
        f"{len(work.asks)} questions ({work.distinct} different, Zipf {inputs.zipf:g}) at the pace of"
        f" {inputs.monthly:,} a month, over {len(work.data.documents):,} documents; seed {inputs.seed}",
        f"inputs: {inputs.format_failures:.0%} of answers break a schema that is not enforced,"
        f" {inputs.patient:.0%} of questions can wait for a batch, answers are as long as the twin writes them",
        f"chunks: {_chunks(found.evidence)} naive's answers in the context on another draw of questions",
        "inputs: a small model is good enough for questions about one passage, a medium one for the others",
    )


def _chunks(evidence: Evidence) -> str:
    if evidence.floor == 0:
        return f"{evidence.name}; fewer did not keep"
    return f"{evidence.name}, a share of the best one's score; the least that kept"


def rung_rows(rungs: Sequence[Rung], naive: Rung, *, chained: bool) -> list[list[str]]:
    rows = []
    for number, rung in enumerate(rungs):
        before = rungs[number - 1] if chained and number else None
        rows.append(
            [
                rung.step.name,
                f"{rung.per_million_usd:,.0f}",
                _off(rung, naive) if rung is not naive else "",
                "" if before is None else _off(rung, before),
                f"{rung.in_context:.3f}",
                f"{rung.sufficient:.3f}",
                f"{rung.declined:,}",
                f"{rung.cached:.0%}",
                f"{rung.prompt:,.0f}",
            ]
        )
    return rows


def _off(rung: Rung, other: Rung) -> str:
    return f"{1 - rung.cost_pico / other.cost_pico:.1%}"


def bound_rows(found: Ladder) -> list[list[str]]:
    whole, asks = found.whole, len(found.workload.asks)
    bounds = (("clairvoyant", found.clairvoyant_pico), ("clairvoyant, same tiers", found.as_routed_pico))
    return [
        [name, f"{pico / asks / 1e6:,.0f}", f"{whole.cost_pico / pico - 1:+.1%}" if pico else ""]
        for name, pico in bounds
    ]


def _bounds(found: Ladder) -> str:
    table = text_table(("bound", "USD per million", "everything pulled is above it by"), bound_rows(found))
    return (
        f"{table}\nclairvoyant: arrivals, hot documents and the cheapest sufficient tier known in advance;"
        "\nsame tiers: the same, but for the tiers, which are those that the router chose;"
        "\nwhat was copied, or answered by the answer cache, is free in both"
    )


def local_lines(found: Ladder) -> tuple[str, ...]:
    """The machine of one's own, computed from its memory and speed."""
    local, inputs = found.local, found.inputs
    plan, whole = local.plan, found.whole
    return (
        f"local: {plan.model.id} in {plan.fit.format.label} on {plan.fit.gpus} x {plan.gpu.id} at"
        f" ${plan.gpu.hour_usd}/h, busy for {inputs.utilisation:.0%} (computed, not measured):",
        f"  ${local.pico / 1e6:,.0f} per million questions, ${local.plain_pico / 1e6:,.0f} in 16 bits without drafts;"
        f" it is {whole.local_pico / max(1, whole.cost_pico):.0%} of the bill with everything pulled",
    )


def published_rows(found: Ladder) -> list[list[str]]:
    """Both tables in dollars a month at ten million questions, and as shares of the first step."""
    rows = []
    for number, rung in enumerate(found.rungs):
        theirs = PUBLISHED[number] if number < len(PUBLISHED) else None
        rows.append(
            [
                rung.step.name,
                "" if theirs is None else f"{theirs},000",
                "" if theirs is None else f"{theirs / PUBLISHED[0]:.0%}",
                f"{rung.per_million_usd * 10:,.0f}",
                f"{rung.cost_pico / found.naive.cost_pico:.1%}",
            ]
        )
    return rows


def published_words(found: Ladder) -> tuple[str, ...]:
    return (
        "what differs: the published table names neither prompts nor prices. its naive question costs half a cent;"
        f" ours sends {found.evidence.k} chunks ({found.naive.prompt:,.0f} tokens) to the dearest model.",
        "its caching takes 40 % off, which needs long prompts that repeat; retrieved chunks change with each question."
        " its routing takes 40 %; the smallest model costs a fortieth of the largest today.",
    )


def _published(found: Ladder) -> tuple[str, ...]:
    heads = ("step", "published USD a month", "of naive", "ours USD a month", "of naive ")
    return text_table(heads, published_rows(found)), *published_words(found)


def invoices(found: Ladder) -> str:
    """Whether all set-ups were billed as invoiced; one that several tables show counts once."""
    every = {it.step.what: it for it in (*found.rungs, *found.alone, *found.left_out, *found.other_ways)}.values()
    worst = max((abs(rung.difference_pico) for rung in every), default=0)
    failed, unknown = sum(rung.failed for rung in every), sum(rung.unknown for rung in every)
    left_out = f"; questions of unknown cost, which count as what is known of it: {unknown}" if unknown else ""
    return (
        f"twin's invoice less receipts, the largest of {len(every)} set-ups: ${format_usd(worst)};"
        f" questions without an answer: {failed}{left_out}; {found.seconds:,.0f} s"
    )


def ladder_to_json(found: Ladder) -> dict[str, Any]:
    groups = {"steps": found.rungs, "alone": found.alone, "left_out": found.left_out, "other_ways": found.other_ways}
    return {
        "simulated": True,
        "inputs": {
            **asdict(found.inputs),
            "k": found.evidence.k,
            "evidence": found.evidence.name,
            "documents": len(found.workload.data.documents),
        },
        **{name: [rung_to_json(rung, found.naive) for rung in rungs] for name, rungs in groups.items()},
        "published_usd_a_month": [value * 1000 for value in PUBLISHED],
        "clairvoyant_usd": format_usd(found.clairvoyant_pico),
        "clairvoyant_same_tiers_usd": format_usd(found.as_routed_pico),
        "local": {
            "usd_per_million": round(found.local.pico / 1e6, 2),
            "unquantized_usd_per_million": round(found.local.plain_pico / 1e6, 2),
            "gpu": found.local.plan.gpu.id,
            "model": found.local.plan.model.id,
            "estimated": True,
        },
        "seconds": round(found.seconds, 1),
    }


def rung_to_json(rung: Rung, naive: Rung) -> dict[str, Any]:
    return {
        "name": rung.step.name,
        "levers": sorted(rung.step.levers),
        "questions": rung.questions,
        "cost_usd": format_usd(rung.cost_pico),
        "local_usd": format_usd(rung.local_pico),
        "usd_per_million": round(rung.per_million_usd, 2),
        "saved": round(1 - rung.cost_pico / naive.cost_pico, 5),
        "in_context": round(rung.in_context, 4),
        "sufficient": round(rung.sufficient, 4),
        "abstained": rung.abstained,
        "declined": rung.declined,
        "unknown_costs": rung.unknown,
        "failed": rung.failed,
        "tiers": rung.tiers,
        "tokens_in": round(rung.prompt, 1),
        "tokens_out": round(rung.output, 1),
        "cached": round(rung.cached, 4),
        "invoice_difference_usd": format_usd(rung.difference_pico),
    }
