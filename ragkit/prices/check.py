"""Compares the price table with another one that happens to be installed: litellm's bundled file or genai-prices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.models import Catalogue
from ragkit.nouns import Lane
from ragkit.prices.listing import per_unit

Source = Literal["litellm", "genai-prices"]
SOURCES: tuple[Source, ...] = ("litellm", "genai-prices")
Key = tuple[str, str, str, int]
"""Model, class, lane, and the prompt length above which the price holds."""
Table = Mapping[Key, Decimal]
"""Dollars per million tokens; `search` per thousand searches."""

FIELDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_30m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "cache_write_12h": "cache_creation_input_token_cost_above_12hr",
}
SUFFIXES: Mapping[str, str] = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
GENAI_FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_30m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
GENAI_PROVIDERS = {"anthropic": "anthropic", "openai": "openai", "gemini": "google", "cohere": "cohere"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A price that the two tables give differently, and why, if that is known."""

    key: Key
    ours: Decimal
    theirs: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome: prices that agree, that differ, and that only we list."""

    source: Source
    agreed: int
    differences: tuple[Difference, ...]
    only_ours: tuple[Key, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.differences if not difference.why)


def check_prices(catalogue: Catalogue, at: datetime, source: str | None = None) -> Check:
    """Compare with the named table, or with the first that is installed."""
    if source is not None and source not in SOURCES:
        raise ConfigError(f"'{source}' is no price table known here: write {' or '.join(SOURCES)}")
    for name in SOURCES:
        if source in (None, name) and find_spec(name.replace("-", "_")) is not None:
            theirs = _litellm(catalogue) if name == "litellm" else _genai(catalogue, at)
            return compare_tables(name, our_table(catalogue, at), theirs)
    raise ConfigError(f"there is no other price table to compare with: pip install {source or ' or '.join(SOURCES)}")


def compare_tables(source: Source, ours: Table, theirs: Table) -> Check:
    shared = [key for key in ours if key in theirs]
    differences = [
        Difference(key, ours[key], theirs[key], _why(key, ours, theirs)) for key in shared if ours[key] != theirs[key]
    ]
    alone = tuple(key for key in ours if key not in theirs)
    return Check(source, len(shared) - len(differences), tuple(differences), alone)


def _why(key: Key, ours: Table, theirs: Table) -> str:
    """Differences that have a known cause; anything else is for a person to look at."""
    model, name, lane, _ = key
    cents = [ours[key].quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) for digits in (2, 3)]
    if lane != "standard" and theirs[key] in cents:
        return "the provider's page rounds it; the factor of the lane is taken exactly"
    if lane != "standard" and name == "cache_read" and theirs[key] == theirs.get((model, "cache_read", "standard", 0)):
        return "listed without the lane's factor there"
    return ""


def our_table(catalogue: Catalogue, at: datetime) -> dict[Key, Decimal]:
    return {
        (spec.id, name, lane, band.above): Decimal(price)
        for spec in map(catalogue.model, catalogue.ids())
        for lane in spec.lanes
        for band in _bands(catalogue, spec.id, at, lane)
        for name, price in per_unit(band).items()
        if Decimal(price)
    }


def _bands(catalogue: Catalogue, model: str, at: datetime, lane: Lane) -> tuple[Any, ...]:
    try:
        return catalogue.bands(model, at=at, lane=lane)
    except UnpricedModel:
        return ()


def _litellm(catalogue: Catalogue) -> dict[Key, Decimal]:
    spec = find_spec("litellm")
    folder = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    path = Path(folder, "model_prices_and_context_window_backup.json")
    try:
        table = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise ConfigError(f"litellm's price table cannot be read: {error}") from error
    found: dict[Key, Decimal] = {}
    for model in map(catalogue.model, catalogue.ids()):
        names = (f"{model.provider}/{model.id}", model.id)
        row = next((table[name] for name in names if name in table), None)
        if row is not None:
            found.update(litellm_row(model.id, row))
    return found


def litellm_row(model: str, row: Mapping[str, Any]) -> Iterator[tuple[Key, Decimal]]:
    if row.get("input_cost_per_query"):
        yield (model, "search", "standard", 0), Decimal(row["input_cost_per_query"]) * 1000
    for name, field in FIELDS.items():
        for lane, suffix in SUFFIXES.items():
            for above in (0, 100_000, 200_000, 272_000):
                band = f"_above_{above // 1000}k_tokens" if above else ""
                if row.get(f"{field}{band}{suffix}"):
                    yield (model, name, lane, above), Decimal(row[f"{field}{band}{suffix}"]) * 1_000_000


def _genai(catalogue: Catalogue, at: datetime) -> dict[Key, Decimal]:
    from genai_prices import data  # type: ignore[import-not-found,unused-ignore]

    models = {(provider.id, model.id): model for provider in data.providers for model in provider.models}
    found: dict[Key, Decimal] = {}
    for spec in map(catalogue.model, catalogue.ids()):
        provider = GENAI_PROVIDERS.get(spec.provider, f"{spec.provider}ai")
        model = models.get((provider, spec.id))
        if model is not None:
            found.update(_genai_row(spec.id, model.get_prices(at)))
    return found


def _genai_row(model: str, prices: Any) -> Iterator[tuple[Key, Decimal]]:
    for name, field in GENAI_FIELDS.items():
        value = getattr(prices, field, None)
        if isinstance(value, Decimal):
            yield (model, name, "standard", 0), value
        elif value is not None:
            yield (model, name, "standard", 0), value.base
            yield from (((model, name, "standard", tier.start), tier.price) for tier in value.tiers)


def check_to_json(check: Check) -> dict[str, Any]:
    """The body of `ragkit prices check --json`."""
    return {
        "source": check.source,
        "agreed": check.agreed,
        "differences": [
            {**_key_to_json(it.key), "ours": str(it.ours), "theirs": str(it.theirs), "why": it.why or None}
            for it in check.differences
        ],
        "only_ours": [_key_to_json(key) for key in check.only_ours],
        "unexplained": len(check.unexplained),
    }


def _key_to_json(key: Key) -> dict[str, Any]:
    return dict(zip(("model", "class", "lane", "above"), key, strict=True))
