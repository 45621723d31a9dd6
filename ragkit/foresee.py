"""What a question will cost before it is asked: what is expected, the worst that may come of it, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ragkit.bound import HIDDEN_TOKENS, Plan, Side, rerank_usage, worst_case
from ragkit.budget import affordable
from ragkit.checkout import Order
from ragkit.ledger import Purchase
from ragkit.money import format_usd
from ragkit.nouns import Query, Route, Usage
from ragkit.outcome import Ready
from ragkit.parts import Parts
from ragkit.rerank import passage
from ragkit.routing.classify import MOST_OUTPUT, SYSTEM

BEYOND_ESTIMATE = 2
"""Tokens that a chunk of the largest size may have for each that was estimated, its headings included."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """`most_pico` counts every attempt, fallback and repair at its longest; `left_pico` is None without a budget."""

    route: Route | None
    most_pico: int
    left_pico: int | None

    @property
    def expected_pico(self) -> int:
        return (self.route and self.route.expected_pico) or 0


async def foresee(made: Ready | None, query: Query, parts: Parts) -> Foreseen:
    """`made` is the question up to its request, or None where it is answered at no cost."""
    model = "" if made is None else made.route.model.price_id or made.route.model.id
    standings = await parts.ledger.standings(Purchase(query.account, 0, model))
    left = affordable(standings, query.max_cost_pico)
    order = Order(parts.payer(query.account, parts.clock()), "", None)
    models = () if made is None else (made.route.model, *made.route.fallbacks)
    calls = tuple(order.call(replace(made.request, model=model)) for model in models if made is not None)
    sides = tuple(_sides(made, query, parts, order))
    plan = Plan(calls, sides, parts.retrying.policy.attempts, parts.settings.answer.repairs)
    return Foreseen(None if made is None else made.route, worst_case(plan, parts.catalogue, parts.clock()), left)


def _sides(made: Ready | None, query: Query, parts: Parts, order: Order) -> Iterator[Side]:
    """What is billed beside the answer, at its largest."""
    if parts.embedder is not None and parts.embedder.price_id is not None:
        yield Side(parts.embedder.price_id, Usage(input=order.most_tokens(parts.embedder.price_id, query.text)))
    if parts.reranker is not None and parts.reranker.price_id is not None:
        name = parts.reranker.price_id
        hits = () if made is None else made.hits
        longest = max(
            BEYOND_ESTIMATE * parts.settings.ingest.max_tokens,
            *(order.most_tokens(name, passage(hit.chunk)) for hit in hits),
        )
        asked = order.most_tokens(name, query.text)
        yield Side(name, rerank_usage(name, asked, [longest] * query.k, parts.catalogue, parts.clock()))
    if parts.classifier is not None and parts.classifier.model.price_id is not None:
        name = parts.classifier.model.price_id
        asked = order.most_tokens(name, SYSTEM) + order.most_tokens(name, query.text) + HIDDEN_TOKENS
        yield Side(name, Usage(input=asked, output=MOST_OUTPUT))


def foreseen_to_json(found: Foreseen) -> dict[str, Any]:
    """Money as decimal strings of dollars; without a model the answer is free, but for what is billed beside it."""
    route = found.route
    return {
        "model": None if route is None else route.model.id,
        "tier": None if route is None else route.model.tier,
        "reason": None if route is None else route.reason,
        "expected_usd": format_usd(found.expected_pico),
        "most_usd": format_usd(found.most_pico),
        "left_usd": None if found.left_pico is None else format_usd(found.left_pico),
        "estimated": True,
    }
