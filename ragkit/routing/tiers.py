"""The ladder of models that questions are routed to, cheapest first, as the settings and the keys at hand give it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ragkit.decide import SUFFIX
from ragkit.deciders import check_decider
from ragkit.errors import ConfigError
from ragkit.models import Catalogue, Kind
from ragkit.nouns import Effort, Model, Tier
from ragkit.settings import Settings, TierSettings

EXTRACTIVE = Model("extractive", provider="extractive", tier="extractive")

Rung = Literal["small", "medium", "large"]
RUNGS: tuple[Rung, ...] = ("small", "medium", "large")
USUAL: dict[str, dict[Rung, str]] = {
    "anthropic": {"small": "claude-haiku-5-5", "medium": "claude-sonnet-5-5", "large": "claude-opus-5-5"},
    "openai": {"small": "gpt-6-luna", "medium": "gpt-6.1-terra", "large": "gpt-6.1-sol"},
    "gemini": {"small": "gemini-2.5-flash-lite", "medium": "gemini-3.8-flash", "large": "gemini-3.1-pro-preview"},
}
"""Providers in the order in which `auto` prefers them, each with its usual models."""
USUAL_EFFORT: dict[Tier, Effort] = {"small": "none", "medium": "low", "large": "medium"}
"""Answers are copied and combined from a few passages: much thinking is seldom worth its price as output."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The permitted models, cheapest first, and why they are these."""

    models: tuple[Model, ...]
    reason: str

    @property
    def generators(self) -> tuple[Model, ...]:
        """The models that write an answer of their own, so the ones that may cost money."""
        return tuple(model for model in self.models if model.tier != "extractive")


@dataclass(frozen=True, slots=True)
class Classifier:
    """The model that is asked how hard a question is; `decides` where its provider's decisions endpoint is meant."""

    model: Model
    decides: bool = False


def build_ladder(settings: Settings, catalogue: Catalogue, at: datetime) -> Ladder:
    """Raises `ConfigError` for a model that is retired or misspelt, `UnpricedModel` for one without a price."""
    wanted = settings.answer.model
    if wanted == "extractive":
        return Ladder((EXTRACTIVE,), "[answer] model is extractive: sentences are copied at no cost")
    if wanted != "auto":
        return Ladder((named_model(wanted, None, settings, catalogue, at),), f"[answer] model is {wanted}")
    named = _named_tiers(settings)
    provider = next((name for name in USUAL if getattr(settings.providers, name).usable), None)
    if provider is not None:
        named = {rung: f"{provider}/{USUAL[provider][rung]}" for rung in RUNGS} | named
    models = tuple(named_model(name, rung, settings, catalogue, at) for rung, name in _in_order(named))
    return Ladder((EXTRACTIVE, *models), _why(provider, named))


def classifier_of(settings: Settings, catalogue: Catalogue, at: datetime) -> Classifier | None:
    """Who is asked how hard a question is, thinking as little as it can; None where nobody is to be asked.

    A model that only decides is told by the price table, one of vLLM by its name.
    """
    wanted = settings.routing.classifier
    if not wanted:
        return None
    model = replace(named_model(wanted, None, settings, catalogue, at, ("generate", "decide")), effort="none")
    by_name = model.price_id is None
    decides = model.id.endswith(SUFFIX) if by_name else catalogue.model(model.price_id or "").kind == "decide"
    if decides:
        check_decider(model.provider)
    return Classifier(model, decides)


def _named_tiers(settings: Settings) -> dict[str, str]:
    rungs = ("local", *RUNGS)
    return {rung: tier.model for rung in rungs if (tier := _tier(settings, rung)).model}


def _in_order(named: dict[str, str]) -> list[tuple[str, str]]:
    return [(rung, named[rung]) for rung in ("local", *RUNGS) if rung in named]


def _why(provider: str | None, named: dict[str, str]) -> str:
    if provider is not None:
        return f"[answer] model is auto and {provider} is the first provider with a key"
    if named:
        return "[answer] model is auto and [tiers] names models"
    return "[answer] model is auto and no provider has a key: sentences are copied at no cost"


def _tier(settings: Settings, rung: str) -> TierSettings:
    tier: TierSettings = getattr(settings.tiers, rung)
    return tier


def named_model(
    name: str,
    rung: str | None,
    settings: Settings,
    catalogue: Catalogue,
    at: datetime,
    kinds: tuple[Kind, ...] = ("generate",),
) -> Model:
    """A model by its name, PROVIDER/MODEL, on a rung or by itself.

    Raises `ConfigError` for what names none, or none of these kinds, and for a retired one; `UnpricedModel` for one
    without a price.
    """
    provider, slash, model_id = name.partition("/")
    if not slash or not model_id:
        raise ConfigError(f"'{name}' names no model: write PROVIDER/MODEL, as in anthropic/claude-haiku-5-5")
    if provider == "vllm":
        return Model(model_id, provider, "local", None, settings.answer.max_output, settings.tiers.local.effort)
    spec = catalogue.model(model_id, at=at)
    if spec.kind not in kinds:
        raise ConfigError(f"'{name}' writes no answers: `ragkit prices --kind generate` lists the models that do")
    tier = spec.tier if rung is None else next(known for known in RUNGS if known == rung)
    limit = min(settings.answer.max_output, spec.max_output or settings.answer.max_output)
    effort = None if rung is None else _tier(settings, rung).effort
    tier = tier or "medium"
    return Model(model_id, provider, tier, spec.id, limit, effort or USUAL_EFFORT.get(tier))
