"""What `ragkit route explain` tells: the decision for a question, with the index's chunks where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ragkit.clock import utc_now
from ragkit.models import Catalogue
from ragkit.money import format_usd
from ragkit.nouns import Chunk, Model, Query, Usage
from ragkit.providers.extractive import extract
from ragkit.query import make_query
from ragkit.route import Decision, Offer
from ragkit.routing.classify import prompt_of
from ragkit.routing.signals import Router
from ragkit.routing.tiers import RUNGS, USUAL, Classifier, build_ladder, classifier_of
from ragkit.settings import Settings
from ragkit.tokens import scaled

NO_KEY = "no provider has a key: this is how the usual models of {} would be weighed"
NO_CHUNKS = "no passage was found: the size of the prompt is that of the question alone"


LEVEL_TOKENS = 12
"""What a model writes that is asked for a level."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked first how hard the question is, and what that is expected to cost; nothing where it is local."""

    classifier: Classifier
    pico: int

    def __str__(self) -> str:
        model = self.classifier.model
        how = f"by {model.provider}'s decisions endpoint" if self.classifier.decides else "for a level in words"
        cost = f"${format_usd(self.pico)} (estimated)" if model.price_id else "nothing"
        return f"{model.id} is asked first, {how}, for {cost}; without its answer the score above counts"


def explain(question: str, chunks: Sequence[Chunk], settings: Settings) -> tuple[Decision, str]:
    """The local router's decision, and what it lacks to be that of `ragkit ask`."""
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


def asked_first(question: str, found: Decision, settings: Settings) -> Asked | None:
    """The classifier of the settings, where its answer could change what was found."""
    catalogue, at = Catalogue.of(settings.prices.file), utc_now()
    classifier = classifier_of(settings, catalogue, at)
    if classifier is None or found.route.model.tier == "extractive":
        return None
    return Asked(classifier, _classifying_pico(classifier, make_query(question, settings), settings, catalogue, at))


def _classifying_pico(
    classifier: Classifier, query: Query, settings: Settings, catalogue: Catalogue, at: datetime
) -> int:
    model = classifier.model
    if model.price_id is None:
        return 0
    tokens = scaled(prompt_of(query).tokens, catalogue.model(model.price_id).typical)
    usage = Usage(input=tokens, output=0 if classifier.decides else LEVEL_TOKENS)
    section = getattr(settings.providers, model.provider, None)
    return catalogue.cost(usage, model.price_id, at=at, region=section and section.region).pico


def asked_to_json(asked: Asked | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    classifier, model = asked.classifier, asked.classifier.model
    endpoint = "decisions" if classifier.decides else "answers"
    cost = format_usd(asked.pico)
    return {"id": model.id, "provider": model.provider, "endpoint": endpoint, "expected_usd": cost}


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
