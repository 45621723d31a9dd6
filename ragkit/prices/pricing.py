"""Dated prices compiled to whole pico-dollars, and the dot product that prices a usage."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fractions import Fraction
from operator import attrgetter, mul

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.nouns import Lane, Usage
from ragkit.prices.file import CLASSES, ModelRow, PriceRow

PICO_PER_MILLION = 10**12 // 10**6
"""Pico-dollars a token for one dollar per million tokens."""
PICO_PER_THOUSAND = 10**12 // 10**3
UNPRICED = -1
"""Stands in compiled prices for a class without one, so that a sum can never take it for free."""
_units = attrgetter(*("searches" if name == "search" else name for name in CLASSES))


@dataclass(frozen=True, slots=True)
class Cost:
    """An exact amount and the dated row that gave it; `row_id` is empty for free local work."""

    pico: int
    row_id: str


@dataclass(frozen=True, slots=True)
class Band:
    """Compiled prices above a length of prompt: pico-dollars per unit in the order of `CLASSES`."""

    above: int
    prices: tuple[int, ...]
    row_id: str
    confidence: str = "listed"
    unpriced: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The places of the classes without a price."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unpriced", tuple(place for place, price in enumerate(self.prices) if price < 0))

    def price(self, name: str) -> int:
        """Pico-dollars per unit of a class of `CLASSES`; `UNPRICED` without a price."""
        return self.prices[CLASSES.index(name)]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The bands in force from each start; bands of one start are sorted, the longest last."""

    starts: tuple[datetime, ...]
    bands: tuple[tuple[Band, ...], ...]

    def at(self, at: datetime) -> tuple[Band, ...]:
        index = bisect_right(self.starts, at) - 1
        return self.bands[index] if index >= 0 else ()


def band_cost(usage: Usage, band: Band) -> int:
    """The dot product of a usage with a band's prices."""
    units = _units(usage)
    if min(units) < 0 or any(map(units.__getitem__, band.unpriced)):
        raise _no_price(units, band)
    return sum(map(mul, units, band.prices))


def _no_price(units: Sequence[int], band: Band) -> UnpricedModel:
    """What is wrong with the first class that cannot be priced."""
    classes = zip(CLASSES, units, band.prices, strict=True)
    name, count = next((name, count) for name, count, price in classes if count < 0 or (count and price < 0))
    if count < 0:
        return UnpricedModel(f"the usage to be priced by {band.row_id} counts {count} of '{name}'")
    return UnpricedModel(f"{band.row_id} has no price for '{name}', but {count} were used: add it to your prices")


def compile_schedule(model: ModelRow, lane: Lane, region: str | None) -> Schedule:
    groups: dict[datetime, list[Band]] = {}
    for row in sorted(model.prices, key=lambda row: row.above):
        start = datetime.combine(row.starts or date.min, time.min, UTC)
        groups.setdefault(start, []).append(_band(model, row, lane, region))
    starts = sorted(groups)
    return Schedule(tuple(starts), tuple(tuple(groups[start]) for start in starts))


def _band(model: ModelRow, row: PriceRow, lane: Lane, region: str | None) -> Band:
    factors = _lane_factors(model, row, lane)
    surcharge = _region_factor(model, row, region)
    default = factors.get("all")
    prices = [UNPRICED] * len(CLASSES)
    for index, key in enumerate(CLASSES):
        factor = factors.get(key, default)
        if key in row.prices and factor is not None:
            unit = PICO_PER_THOUSAND if key == "search" else PICO_PER_MILLION
            pico = Fraction(row.prices[key]) * unit * factor * surcharge
            if pico.denominator != 1:
                raise ConfigError(f"model '{model.id}': '{key}' in lane {lane} is not a whole number of pico-dollars")
            prices[index] = pico.numerator
    start = row.starts.isoformat() if row.starts else "start"
    row_id = f"{model.id}@{start}" + (f">{row.above}" if row.above else "")
    row_id += ("" if lane == "standard" else f"/{lane}") + (f"+{region}" if surcharge != 1 else "")
    return Band(row.above, tuple(prices), row_id, row.confidence)


def _lane_factors(model: ModelRow, row: PriceRow, lane: Lane) -> dict[str, Fraction]:
    if lane == "standard":
        return {"all": Fraction(1)}
    lanes = model.lanes if row.lanes is None else row.lanes
    if lane not in lanes:
        listed = ", ".join(("standard", *lanes))
        raise UnpricedModel(f"{model.id} has no price in the lane '{lane}': it has {listed}")
    return dict(lanes[lane])


def _region_factor(model: ModelRow, row: PriceRow, region: str | None) -> Fraction:
    regions = model.regions if row.regions is None else row.regions
    if region is None or region == "global" or not regions:
        return Fraction(1)
    if region.lower() not in regions:
        raise UnpricedModel(f"{model.id} has no price in the region '{region}': it has global, {', '.join(regions)}")
    return regions[region.lower()]
