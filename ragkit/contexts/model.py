"""Which model writes contexts."""

from __future__ import annotations

from datetime import datetime

from ragkit.batches.registry import BATCH_APIS
from ragkit.contexts.wish import MOST_OUTPUT
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.nouns import Model
from ragkit.routing.tiers import USUAL
from ragkit.settings import Settings


def context_model(settings: Settings, catalogue: Catalogue, at: datetime) -> Model:
    """The one that is named, else that of the small tier, thinking as little as it can.

    Raises `ConfigError` where there is none, or none with a batch lane; `UnpricedModel` for one without a price.
    """
    wanted = settings.ingest.context_model or settings.tiers.small.model or _usual(settings)
    provider, slash, name = wanted.partition("/")
    if not slash or not name:
        raise ConfigError(f"'{wanted}' names no model: write [ingest] context_model as PROVIDER/MODEL")
    if settings.ingest.context == "batch" and provider not in BATCH_APIS:
        known = ", ".join(sorted(BATCH_APIS))
        raise ConfigError(f"'{provider}' has no batch lane: set [ingest] context to live, or context_model to {known}")
    if provider == "vllm":
        return Model(name, provider, "local", None, MOST_OUTPUT, "none")
    spec = catalogue.model(name, at=at)
    longest = min(MOST_OUTPUT, spec.max_output or MOST_OUTPUT)
    return Model(name, provider, spec.tier or "small", spec.id, longest, "none")


def _usual(settings: Settings) -> str:
    for provider, models in USUAL.items():
        if getattr(settings.providers, provider).api_key is not None:
            return f"{provider}/{models['small']}"
    raise ConfigError("[ingest] context needs a model: set the key of a provider, or context_model, or context to off")
