"""What `ragkit route explain` tells: the decision for a question, with the index's chunks where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragkit.clock import utc_now
from ragkit.models import Catalogue
from ragkit.money import format_usd
from ragkit.nouns import Chunk, Model
from ragkit.providers.extractive import extract
from ragkit.query import make_query
from ragkit.route import Decision, Offer
from ragkit.routing.signals import Router
from ragkit.routing.tiers import RUNGS, USUAL, build_ladder
from ragkit.settings import Settings

NO_KEY = "no provider has a key: this is how the usual models of {} would be weighed"
NO_CHUNKS = "no passage was found: the size of the prompt is that of the question alone"


def explain(question: str, chunks: Sequence[Chunk], settings: Settings) -> tuple[Decision, str]:
    """The decision, and what it lacks to be that of `ragkit ask`."""
    query, catalogue = make_query(question, settings), Catalogue.of(settings.prices.file)
    ladder, notes = build_ladder(settings, catalogue, utc_now()), []
    if not ladder.generators:
        settings = as_if_keyed(settings)
        ladder = build_ladder(settings, catalogue, utc_now())
        notes.append(NO_KEY.format(next(iter(USUAL))))
    if not chunks:
        notes.append(NO_CHUNKS)
    router = Router(settings.routing, ladder.models, catalogue, {}, utc_now)
    return router.decide(query, chunks, extract(query.text, chunks).confidence), "; ".join(notes)


def as_if_keyed(settings: Settings) -> Settings:
    """The usual models of the first provider, for weighing only."""
    provider, models = next(iter(USUAL.items()))
    tiers = {rung: {"model": f"{provider}/{models[rung]}"} for rung in RUNGS}
    return settings.model_copy(update={"tiers": type(settings.tiers).model_validate(tiers)})


def decision_to_json(found: Decision) -> dict[str, Any]:
    route = found.route
    return {
        "model": _model_to_json(route.model),
        "needed": found.needed,
        "score": round(route.score, 6),
        "reason": route.reason,
        "offers": [_offer_to_json(offer) for offer in found.offers],
        "fallbacks": [_model_to_json(model) for model in route.fallbacks],
    }


def _offer_to_json(offer: Offer) -> dict[str, Any]:
    cost = None if offer.pico is None else format_usd(offer.pico)
    return {**_model_to_json(offer.model), "warm": offer.warm, "expected_usd": cost}


def _model_to_json(model: Model) -> dict[str, Any]:
    return {"id": model.id, "provider": model.provider, "tier": model.tier, "effort": model.effort}
