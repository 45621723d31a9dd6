"""The catalogue of models and their dated prices: what a usage costs, exactly, or an error, never a guess of zero.

The packaged `prices.toml` comes first; files of the user's own lie over it. On any day the highest layer that has a row
for a model prices it, so that a dated override does not end when the packaged price changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.nouns import CacheTtl, Lane, Tier, Usage
from ragkit.prices.file import LANES, ModelRow, PriceFile, nearest, read_price_file
from ragkit.prices.pricing import Band, Cost, Schedule, band_cost, compile_schedule

PACKAGED = Path(__file__).parent / "prices" / "prices.toml"
STALE_DAYS = 90
RETIREMENT_NOTICE_DAYS = 60
Kind = Literal["generate", "embed", "rerank", "decide"]
_TTL_CLASSES: tuple[CacheTtl, ...] = ("5m", "30m", "1h", "12h")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model can do. None means that it is not known (or, for `retires`, not announced).

    `cache_minimum` is the shortest cacheable prefix. `typical` and `bound` scale token estimates. `thinking` is what a
    request without a word about it gets: off, adaptive or always; `lowest_thinking` what it can be turned down to.
    """

    id: str
    provider: str
    kind: Kind
    tier: Tier | None
    context: int | None
    max_output: int | None
    cache_minimum: int | None
    cache_ttls: tuple[CacheTtl, ...]
    typical: Fraction
    bound: Fraction
    lanes: tuple[Lane, ...]
    regions: tuple[str, ...]
    forced_tools: bool
    structured: bool
    thinking: str | None
    lowest_thinking: str | None
    default_effort: str | None
    dimensions: int | None
    retires: date | None
    successor: str | None
    source: str
    checked: date
    confidence: str
    note: str

    def warning(self, at: datetime) -> str | None:
        """A sentence when the model is retired or about to be, with its successor."""
        if self.retires is None:
            return None
        days = (self.retires - at.astimezone(UTC).date()).days
        advice = f": move to {self.successor}" if self.successor else ""
        if days <= 0:
            return f"{self.id} was retired on {self.retires}{advice}"
        return f"{self.id} retires on {self.retires}{advice}" if days <= RETIREMENT_NOTICE_DAYS else None


class Catalogue:
    """Models and prices of one or more layers of files, later layers over earlier ones."""

    def __init__(self, files: Sequence[PriceFile]) -> None:
        self._layers = tuple(files)
        self._schedules: dict[tuple[str, str, str | None], Schedule] = {}
        digest = hashlib.sha256("\x00".join(file.text for file in files).encode()).hexdigest()
        self._specs: dict[str, ModelSpec] = {}
        self.checked = min(file.checked for file in files)
        self.version = f"{self.checked.isoformat()}-{digest[:8]}"
        """Names these very prices: the oldest layer's day of checking, and a digest of all layers."""

    @classmethod
    def load(cls, *overrides: Path) -> Catalogue:
        """The packaged table, read once per process, under the user's files."""
        return cls((_packaged(), *(read_price_file(path) for path in overrides)))

    @classmethod
    def of(cls, file: Path | None) -> Catalogue:
        """The packaged table under the file that `[prices] file` names, if it names one."""
        return cls.load() if file is None else cls.load(file)

    def ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for layer in self._layers for name in layer.models))

    def resolve(self, name: str) -> str:
        """The id that a name means: itself, without its provider (`openai/...`), or without its snapshot's date."""
        for candidate in _spellings(name):
            if any(candidate in layer.models for layer in self._layers):
                return candidate
        hint = nearest(name.rpartition("/")[2], self.ids()) or ", and none is like it"
        raise UnpricedModel(f"the price table has no model '{name}'{hint}; add it to a file named by [prices] file")

    def model(self, name: str, *, at: datetime | None = None) -> ModelSpec:
        """What a model can do. With `at`, a model that is retired by then is a `ConfigError` naming its successor."""
        spec = self._specs.get(name)
        if spec is None:
            spec = self._specs[name] = self._spec(self.resolve(name))
        if at is not None and spec.retires is not None and at.astimezone(UTC).date() >= spec.retires:
            raise ConfigError(f"{spec.warning(at)}")
        return spec

    def cost(
        self, usage: Usage, price_id: str | None, *, at: datetime, lane: Lane = "standard", region: str | None = None
    ) -> Cost:
        """The exact price of a usage on a day; None as `price_id` is free local work.

        Raises `UnpricedModel` for a model, a day, a lane, a region or a used class without a price.
        """
        if price_id is None:
            return Cost(0, "")
        bands = self.bands(price_id, at=at, lane=lane, region=region)
        band = bands[0]
        if len(bands) > 1:
            prompt = usage.prompt
            band = next(band for band in reversed(bands) if prompt > band.above or not band.above)
        return Cost(band_cost(usage, band), band.row_id)

    def bands(
        self, price_id: str, *, at: datetime, lane: Lane = "standard", region: str | None = None
    ) -> tuple[Band, ...]:
        """The bands of length in force on a day, shortest prompts first."""
        schedule = self._schedules.get((price_id, lane, region))
        if schedule is None:
            schedule = self._schedules[price_id, lane, region] = self._compile(price_id, lane, region)
        bands = schedule.at(at)
        if not bands:
            raise UnpricedModel(f"the price table has no price for {price_id} on {at.date()}")
        return bands

    def warnings(self, at: datetime, models: Iterable[str] = ()) -> tuple[str, ...]:
        """What to say about the table's age and about the retirement of the models in use."""
        age = (at.astimezone(UTC).date() - self.checked).days
        stale = f"prices were last checked {age} days ago, on {self.checked}: update ragkit or lay your own over them"
        found = [stale] if age > STALE_DAYS else []
        return tuple(found + [warning for name in models if (warning := self.model(name).warning(at))])

    def _rows(self, name: str) -> list[ModelRow]:
        """The layers' rows for a model; lanes and regions hold on upwards until a layer says otherwise."""
        rows: list[ModelRow] = []
        for row in (layer.models[name] for layer in self._layers if name in layer.models):
            below = rows[-1] if rows else row
            rows.append(replace(row, lanes=row.lanes or below.lanes, regions=row.regions or below.regions))
        return rows

    def _spec(self, name: str) -> ModelSpec:
        rows = self._rows(name)
        facts: dict[str, Any] = {key: value for row in rows for key, value in row.facts.items()}
        priced = {key for row in rows for price in row.prices for key in price.prices}
        typical, bound = self._tokenizer(name, facts.get("tokenizer", "other"))
        return ModelSpec(
            id=name,
            provider=facts.get("provider", ""),
            kind=facts.get("kind", "generate"),
            tier=facts.get("tier"),
            context=facts.get("context"),
            max_output=facts.get("max_output"),
            cache_minimum=facts.get("cache_minimum"),
            cache_ttls=tuple(ttl for ttl in _TTL_CLASSES if f"cache_write_{ttl}" in priced),
            typical=typical,
            bound=bound,
            lanes=tuple(lane for lane in LANES if lane == "standard" or lane in rows[-1].lanes),
            regions=tuple(rows[-1].regions),
            forced_tools=facts.get("forced_tools", True),
            structured=facts.get("structured", facts.get("kind", "generate") == "generate"),
            thinking=facts.get("thinking"),
            lowest_thinking=facts.get("lowest_thinking"),
            default_effort=facts.get("default_effort"),
            dimensions=facts.get("dimensions"),
            retires=facts.get("retires"),
            successor=facts.get("successor"),
            source=facts.get("source", ""),
            checked=facts.get("checked", self.checked),
            confidence=facts.get("confidence", "listed"),
            note=facts.get("note", ""),
        )

    def _tokenizer(self, model: str, name: str) -> tuple[Fraction, Fraction]:
        for layer in reversed(self._layers):
            if name in layer.tokenizers:
                return layer.tokenizers[name]
        raise ConfigError(f"model '{model}': there is no tokenizer '{name}' in the price table")

    def _compile(self, price_id: str, lane: Lane, region: str | None) -> Schedule:
        name = self.resolve(price_id)
        layers = [compile_schedule(row, lane, region) for row in self._rows(name)]
        starts = sorted({start for layer in layers for start in layer.starts})
        bands = [next((found for layer in reversed(layers) if (found := layer.at(start))), ()) for start in starts]
        return Schedule(tuple(starts), tuple(bands))


@cache
def _packaged() -> PriceFile:
    return read_price_file(PACKAGED)


def _spellings(name: str) -> Iterable[str]:
    yield name
    bare = name.rpartition("/")[2]
    yield bare
    head, _, tail = bare.rpartition("-")
    if len(tail) == 8 and tail.isdigit():
        yield head
    parts = bare.rsplit("-", 3)
    if len(parts) == 4 and [len(part) for part in parts[1:]] == [4, 2, 2] and "".join(parts[1:]).isdigit():
        yield parts[0]
