"""`ragkit local plan`: which format, why, how fast, and when it pays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from ragkit.errors import ConfigError
from ragkit.local.breakeven import RULE_TOKENS, BreakEven, Costs, costs, per_million
from ragkit.local.formats import FORMATS, Fit, FormatName, Work, choose, fit
from ragkit.local.hardware import GIGA, Gpu, LocalModel
from ragkit.local.speed import Speculation, Speed, speed
from ragkit.models import Catalogue
from ragkit.money import PICO_PER_USD, format_usd, to_usd
from ragkit.reports.table import text_table


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """A model on a machine. `reasons` say what was looked at, the chosen one last."""

    model: LocalModel
    gpu: Gpu
    work: Work
    speculation: Speculation
    fit: Fit
    speed: Speed
    costs: Costs
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is fixed beforehand: None lets the plan choose the format, and the table of GPUs tell the price."""

    format: FormatName | None = None
    gpus: int = 1
    hour_pico: int | None = None


def make_plan(
    model: LocalModel,
    gpu: Gpu,
    work: Work,
    speculation: Speculation,
    wanted: Wanted,
    prices: tuple[Catalogue, datetime],
) -> LocalPlan:
    """`ConfigError` where the model does not fit, however many GPUs one machine has."""
    if wanted.format is None:
        found, reasons = choose(model, gpu, work)
    else:
        found = fit(model, gpu, FORMATS[wanted.format], work, wanted.gpus)
        reasons = [f"{found.format.label} was asked for"]
    if found is None or found.concurrent < 1:
        tried = f"{reasons[-1]}"
        raise ConfigError(f"{model.id} does not fit: {tried}; take a smaller model, more memory or fewer at once")
    fast = speed(model, gpu, found, work, speculation)
    hour = wanted.hour_pico if wanted.hour_pico is not None else round(gpu.hour_usd * PICO_PER_USD)
    catalogue, at = prices
    paid = costs(hour * found.gpus, fast.seconds, work, catalogue, at)
    return LocalPlan(model, gpu, work, speculation, found, fast, paid, tuple(reasons))


def plan_to_json(plan: LocalPlan) -> dict[str, Any]:
    found, fast, paid = plan.fit, plan.speed, plan.costs
    return {
        "model": plan.model.id,
        "gpu": plan.gpu.id,
        "gpus": found.gpus,
        "format": found.format.name,
        "reasons": list(plan.reasons),
        "memory_gb": {
            "weights": _rounded(Fraction(found.weights, GIGA)),
            "kv_cache": _rounded(Fraction(found.room, GIGA)),
            "kv_per_question": _rounded(Fraction(found.per_question, GIGA)),
            "concurrent": found.concurrent,
        },
        "tokens_per_second": {
            "prefill": round(fast.prefill),
            "decode_alone": round(fast.alone),
            "decode_full": round(fast.decode),
        },
        "speculation": {
            "drafted": plan.speculation.drafted,
            "acceptance": _rounded(plan.speculation.acceptance),
            "gain": _rounded(fast.gain),
        },
        "questions_per_second": _rounded(1 / fast.seconds),
        "seconds_per_answer": _rounded(fast.latency),
        "month_usd": format_usd(paid.month_pico),
        "question_usd_full": format_usd(paid.full_pico),
        "rule_usd_per_million": str(round(to_usd(paid.month_pico) * 10**6 / RULE_TOKENS, 6)),
        "break_even": [_break_even_to_json(it) for it in paid.against],
        "estimated": True,
    }


def plan_text(plan: LocalPlan) -> str:
    found, fast, paid, work = plan.fit, plan.speed, plan.costs, plan.work
    load = f"{work.prompt:,} tokens in ({float(work.cached):.0%} from the prefix cache), {work.output:,} out"
    rule = per_million(paid.month_pico, RULE_TOKENS)
    pays = "pays" if fast.gain > 1 else "does not pay at this load: switch it off"
    lines = [
        f"{plan.model.id} on {found.gpus} x {plan.gpu.id}: {found.format.label}",
        *(f"  {reason}" for reason in plan.reasons),
        f"a question: {load}; {min(found.concurrent, work.concurrent)} at once",
        f"  prompts {round(fast.prefill):,} tokens/s, answers {round(fast.decode):,} tokens/s together,"
        f" {round(fast.alone):,} alone",
        f"  speculation x{float(fast.gain):.2f} ({plan.speculation.drafted} drafted,"
        f" {float(plan.speculation.acceptance):.0%} accepted): {pays}",
        f"  {float(1 / fast.seconds):.2f} questions/s, {float(fast.latency):.1f} s an answer",
        f"  ${format_usd(paid.month_pico)} a month, ${format_usd(paid.full_pico)} a question at full load",
        f"  5 billion tokens a month pay against any API above ${float(rule):.3f} per million tokens, in and out",
        "cheaper than the API from (estimated, whole machine against list price with the same cached share):",
    ]
    rows = [_row(it) for it in paid.against]
    heads = ("model", "API a question", "questions a month", "tokens a month", "load")
    return "\n".join([*lines, text_table(heads, rows)])


def _row(it: BreakEven) -> tuple[str, ...]:
    load = f"{float(it.share):.1%}" if it.share <= 1 else "never: more than it can do"
    return it.model, f"${format_usd(it.api_pico)}", f"{it.questions:,}", f"{it.tokens / GIGA:.2f} billion", load


def _break_even_to_json(it: BreakEven) -> dict[str, Any]:
    return {
        "model": it.model,
        "api_question_usd": format_usd(it.api_pico),
        "questions_a_month": it.questions,
        "tokens_a_month": it.tokens,
        "load": _rounded(it.share),
        "pays": it.share <= 1,
    }


def _rounded(value: Fraction) -> float:
    """Of physical numbers, never of money."""
    return round(float(value), 4)
