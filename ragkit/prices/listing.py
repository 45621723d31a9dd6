"""The price table as a list to look through, and models compared on one shape of request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.models import Catalogue, ModelSpec
from ragkit.money import format_usd
from ragkit.nouns import Lane, Usage
from ragkit.prices.file import CLASSES
from ragkit.prices.pricing import PICO_PER_MILLION, PICO_PER_THOUSAND, Band
from ragkit.tokens import scaled


@dataclass(frozen=True, slots=True)
class Choice:
    """Which models to list and at which prices."""

    at: datetime
    provider: str | None = None
    tier: str | None = None
    kind: str | None = None
    model: str | None = None
    lane: Lane = "standard"
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A request to compare models on: `cached` of the `input` tokens are read from a warm cache."""

    input: int
    output: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model asks for a shape; the usage is in the model's own tokens."""

    spec: ModelSpec
    usage: Usage
    pico: int
    row_id: str


def parse_shape(text: str) -> Shape:
    """`INPUT:OUTPUT` or `INPUT:OUTPUT:CACHED`, in tokens."""
    parts = text.replace("_", "").replace(",", "").split(":")
    if len(parts) not in (2, 3) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"'{text}' is no shape of a request: write INPUT:OUTPUT or INPUT:OUTPUT:CACHED, in tokens")
    shape = Shape(*map(int, parts))
    if shape.cached > shape.input:
        raise ConfigError(f"'{text}': CACHED is a part of INPUT and cannot be larger")
    return shape


def chosen(catalogue: Catalogue, choice: Choice) -> tuple[ModelSpec, ...]:
    """The models that a choice leaves, in the order of the table."""
    names = catalogue.ids() if choice.model is None else (catalogue.resolve(choice.model),)
    specs = (catalogue.model(name) for name in names)
    wanted = {"provider": choice.provider, "tier": choice.tier, "kind": choice.kind}
    found = tuple(spec for spec in specs if all(value in (None, getattr(spec, key)) for key, value in wanted.items()))
    if not found:
        raise ConfigError("no model in the price table is like that: leave an option out")
    return found


def listed(catalogue: Catalogue, choice: Choice) -> tuple[tuple[ModelSpec, tuple[Band, ...]], ...]:
    """The chosen models with the bands in force, without those that the lane or the region does not have."""
    return tuple((spec, bands) for spec in chosen(catalogue, choice) if (bands := _bands(catalogue, spec, choice)))


def compare(catalogue: Catalogue, shape: Shape, choice: Choice, *, same_tokens: bool = False) -> tuple[Offer, ...]:
    """Generators that can take the shape, cheapest first.

    The shape's tokens are OpenAI's, as `ragkit.tokens` estimates them; other tokenizers make more of the same text,
    unless `same_tokens` says to count them alike.
    """
    return tuple(sorted(_offers(catalogue, shape, choice, same_tokens), key=lambda offer: (offer.pico, offer.spec.id)))


def _offers(catalogue: Catalogue, shape: Shape, choice: Choice, same_tokens: bool) -> Iterator[Offer]:
    for spec in chosen(catalogue, choice):
        factor = Fraction(1) if same_tokens else spec.typical
        cached, prompt = scaled(shape.cached, factor), scaled(shape.input, factor)
        usage = Usage(input=prompt - cached, cache_read=cached, output=scaled(shape.output, factor))
        fits = spec.context is None or prompt <= spec.context
        if spec.kind == "generate" and fits and _bands(catalogue, spec, choice):
            cost = catalogue.cost(usage, spec.id, at=choice.at, lane=choice.lane, region=choice.region)
            yield Offer(spec, usage, cost.pico, cost.row_id)


def _bands(catalogue: Catalogue, spec: ModelSpec, choice: Choice) -> tuple[Band, ...]:
    try:
        return catalogue.bands(spec.id, at=choice.at, lane=choice.lane, region=choice.region)
    except UnpricedModel:
        return ()


def per_unit(band: Band) -> dict[str, str]:
    """A band's prices as a list shows them: dollars per million tokens, `search` per thousand."""
    units = {name: PICO_PER_THOUSAND if name == "search" else PICO_PER_MILLION for name in CLASSES}
    prices = {name: band.price(name) for name in CLASSES}
    return {name: _plain(Decimal(pico) / units[name]) for name, pico in prices.items() if pico >= 0}


def spec_to_json(spec: ModelSpec, bands: tuple[Band, ...], choice: Choice) -> dict[str, Any]:
    """A model of `ragkit prices --json`."""
    return {
        "model": spec.id,
        "provider": spec.provider,
        "kind": spec.kind,
        "tier": spec.tier,
        "lane": choice.lane,
        "prices": [
            {"above": band.above, "row": band.row_id, "confidence": band.confidence, **per_unit(band)} for band in bands
        ],
        "lanes": list(spec.lanes),
        "regions": list(spec.regions),
        "context": spec.context,
        "max_output": spec.max_output,
        "cache_minimum": spec.cache_minimum,
        "forced_tools": spec.forced_tools,
        "thinking": spec.thinking,
        "lowest_thinking": spec.lowest_thinking,
        "default_effort": spec.default_effort,
        "retires": spec.retires and spec.retires.isoformat(),
        "successor": spec.successor,
        "source": spec.source,
        "checked": spec.checked.isoformat(),
        "confidence": spec.confidence,
        "warning": spec.warning(choice.at),
    }


def offer_to_json(offer: Offer) -> dict[str, Any]:
    """A model of `ragkit prices --compare ... --json`."""
    usage = offer.usage
    return {
        "model": offer.spec.id,
        "provider": offer.spec.provider,
        "tier": offer.spec.tier,
        "usage": {"input": usage.input, "cache_read": usage.cache_read, "output": usage.output},
        "cost_usd": format_usd(offer.pico),
        "price_row": offer.row_id,
    }


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")
