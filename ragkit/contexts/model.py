"""Which model writes contexts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ragkit.batches.registry import BATCH_APIS
from ragkit.contexts.wish import MOST_OUTPUT
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.nouns import Model
from ragkit.routing.tiers import USUAL, named_model
from ragkit.settings import Settings


def context_model(settings: Settings, catalogue: Catalogue, at: datetime) -> Model:
    """The one that is named, else that of the small tier, thinking as little as it can.

    Raises `ConfigError` where there is none, or none with a batch lane; `UnpricedModel` for one without a price.
    """
    wanted = settings.ingest.context_model or settings.tiers.small.model or _usual(settings)
    model = named_model(wanted, None, settings, catalogue, at)
    if settings.ingest.context == "batch" and model.provider not in BATCH_APIS:
        known, provider = ", ".join(sorted(BATCH_APIS)), model.provider
        raise ConfigError(f"'{provider}' has no batch lane: set [ingest] context to live, or context_model to {known}")
    able = None if model.price_id is None else catalogue.model(model.price_id).max_output
    return replace(model, max_output=min(MOST_OUTPUT, able or MOST_OUTPUT), effort="none")


def _usual(settings: Settings) -> str:
    for provider, models in USUAL.items():
        if getattr(settings.providers, provider).usable:
            return f"{provider}/{models['small']}"
    raise ConfigError("[ingest] context needs a model: set the key of a provider, or context_model, or context to off")
