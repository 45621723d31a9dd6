"""The model that settings name for an embedder or a reranker, if the price table knows it as one."""

from __future__ import annotations

from datetime import UTC, datetime

from ragkit.errors import ConfigError
from ragkit.models import Catalogue, Kind, ModelSpec
from ragkit.settings import Settings

SECTIONS: dict[Kind, str] = {"embed": "embedder", "rerank": "reranker"}


def priced_model(settings: Settings, provider: str, name: str, kind: Kind) -> ModelSpec:
    """Raises `UnpricedModel` for an unknown model, `ConfigError` for one that is retired, or not of this kind."""
    catalogue = Catalogue.of(settings.prices.file)
    spec = catalogue.model(name, at=datetime.now(UTC))
    if spec.kind != kind or spec.provider != provider:
        fit = [each for each in map(catalogue.model, catalogue.ids()) if (each.kind, each.provider) == (kind, provider)]
        listed = ", ".join(each.id for each in fit)
        own = f"a price row of your own needs provider = '{provider}' and kind = '{kind}'"
        raise ConfigError(f"[{SECTIONS[kind]}] model '{name}' is not of {provider}, which has {listed}; {own}")
    return spec
