"""A plan for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragkit.money import PICO_PER_USD, format_usd
from ragkit.reports.table import text_table
from ragkit_eval.plan import Option, Recommendation, Wishes


def plan_text(found: Recommendation) -> str:
    monthly = found.inputs.monthly
    ordered = sorted(found.options, key=lambda option: option.each_pico)
    rows = [
        [
            it.name,
            f"{it.rung.in_context:.3f}",
            f"{it.rung.sufficient:.3f}",
            f"{it.each_pico * monthly / 1e12:,.0f}",
            f"{it.promised_pico * monthly / 1e12:,.0f}",
            "yes" if _on_front(it, ordered) else "",
        ]
        for it in ordered
    ]
    heads = ("set-up", "in context", "tier enough", "USD a month", "at most", "worth its price")
    return "\n".join(
        (f"simulated on the twin; {monthly:,} questions a month", "", text_table(heads, rows), "", *_advice(found))
    )


def _on_front(option: Option, options: Sequence[Option]) -> bool:
    return not any(it.each_pico < option.each_pico and it.rung.in_context >= option.rung.in_context for it in options)


def _advice(found: Recommendation) -> list[str]:
    monthly, wishes = found.inputs.monthly, found.wishes
    lines = []
    if found.chosen is None or found.checked is None:
        lines.append("recommendation: none of these fits; lower the quality floor or raise the budget")
    else:
        rung, chosen = found.checked, found.chosen
        expected, promised = (pico * monthly / 1e12 for pico in (chosen.each_pico, chosen.promised_pico))
        actual = rung.cost_pico / rung.questions * monthly / 1e12
        lines.append(f"recommendation: {chosen.name}, for ${expected:,.0f} a month, at most ${promised:,.0f}")
        lines.append(
            f"checked on {rung.questions} other questions: ${actual:,.0f} a month,"
            f" in context {rung.in_context:.3f} (promised {chosen.promised_quality:.3f} or more)"
        )
    lines.append("switch on first: " + ", ".join(f"{name} ({share:.0%} alone)" for name, share in found.first))
    lines.append(_when_routing_pays(found.routing_pico, wishes, found.options[-1]))
    lines.append(_when_hosting_pays(found))
    return lines


def _when_routing_pays(gain: float, wishes: Wishes, without: Option) -> str:
    if gain <= 0:
        return "routing: does not pay here at any volume"
    needed = wishes.upkeep_usd * PICO_PER_USD / gain
    bill = needed * without.each_pico / 1e12
    return (
        f"routing: with ${wishes.upkeep_usd:,} a month of upkeep it pays from {needed:,.0f} questions a month,"
        f" a bill of ${bill:,.0f} without it (the rule of thumb says $20,000)"
    )


def _when_hosting_pays(found: Recommendation) -> str:
    plan = found.local.plan
    rows = (f"{it.model} from {it.questions:,} questions a month" for it in plan.costs.against[:3] if it.share <= 1)
    where = "; ".join(rows) or "no model of these, however many questions"
    return f"one's own {plan.gpu.id} with {plan.model.id}: pays against {where} (computed)"


def plan_to_json(found: Recommendation) -> dict[str, Any]:
    chosen, checked = found.chosen, found.checked
    return {
        "simulated": True,
        "monthly": found.inputs.monthly,
        "options": [
            {
                "name": it.name,
                "in_context": round(it.rung.in_context, 4),
                "sufficient": round(it.rung.sufficient, 4),
                "usd_a_month": round(it.each_pico * found.inputs.monthly / 1e12, 2),
                "promised_usd_a_question": format_usd(it.promised_pico),
                "on_front": _on_front(it, found.options),
            }
            for it in found.options
        ],
        "recommended": None if chosen is None else chosen.name,
        "settings": None if chosen is None else dict(chosen.rung.step.overlay()),
        "checked_usd_a_question": None if checked is None else format_usd(checked.cost_pico // checked.questions),
        "checked_in_context": None if checked is None else round(checked.in_context, 4),
        "switch_on_first": [{"lever": name, "saved": round(share, 4)} for name, share in found.first],
        "routing_saves_usd_a_question": format_usd(round(found.routing_pico)),
    }
