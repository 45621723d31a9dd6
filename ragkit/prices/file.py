"""Reads files of models and prices: the packaged table and the user's own, in one format.

Numbers stay decimal from the file to the last digit. What cannot be right is refused with the model and the key: an
unknown name, a negative price, a price per token where a price per million belongs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

from ragkit.errors import ConfigError
from ragkit.nouns import Lane

CLASSES = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_30m",
    "cache_write_1h",
    "cache_write_12h",
    "output",
    "search",
)
"""Priced classes of usage, in the order of the compiled prices; `search` is per thousand, the others per million."""

LANES: tuple[Lane, ...] = ("standard", "batch", "flex", "priority")
CONFIDENCE = ("listed", "second-hand", "recalled", "derived")
SMALLEST, LARGEST = Decimal("0.0005"), Decimal(10_000)
"""Dollars per million: outside of these a price is taken for a slip of the unit."""

ROW_KEYS = {"from", "above", "lanes", "regions", "source", "confidence", "note", *CLASSES}
MODEL_TYPES: dict[str, type] = {
    "id": str,
    "provider": str,
    "kind": str,
    "tier": str,
    "context": int,
    "max_output": int,
    "cache_minimum": int,
    "dimensions": int,
    "tokenizer": str,
    "forced_tools": bool,
    "structured": bool,
    "thinking": str,
    "lowest_thinking": str,
    "default_effort": str,
    "retires": date,
    "successor": str,
    "source": str,
    "checked": date,
    "confidence": str,
    "note": str,
    "lanes": dict,
    "regions": dict,
    "price": list,
}
TYPE_NAMES: dict[type, str] = {
    str: "a text in quotation marks",
    int: "a whole number",
    bool: "true or false",
    date: "a day",
    dict: "a table",
    list: "a list",
}
Factors = Mapping[str, Mapping[str, Fraction]]
"""Lane to class to factor; the class `all` stands for those not named."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """Prices of one model from a day on, above a length of prompt; None in `lanes` and `regions` means the model's."""

    prices: Mapping[str, Decimal]
    starts: date | None = None
    above: int = 0
    lanes: Factors | None = None
    regions: Mapping[str, Fraction] | None = None
    source: str = ""
    confidence: str = "listed"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """What a file says about one model; `facts` are the plain keys, as written."""

    id: str
    facts: Mapping[str, Any]
    lanes: Factors
    regions: Mapping[str, Fraction]
    prices: tuple[PriceRow, ...]


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A file of models; `tokenizers` maps a name to its typical and its worst factor."""

    checked: date
    text: str
    models: Mapping[str, ModelRow]
    tokenizers: Mapping[str, tuple[Fraction, Fraction]]


def read_price_file(path: Path) -> PriceFile:
    """Read and check a file. Raises `ConfigError` that names the file, the model and the key."""
    try:
        text = path.read_text(encoding="utf-8")
        return parse_prices(text)
    except ConfigError as error:
        raise ConfigError(f"prices in {path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the prices in {path}: {error}") from error


def parse_prices(text: str) -> PriceFile:
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}") from error
    _check_names(values, {"checked", "tokenizer", "model"}, "the file")
    if not isinstance(values.get("checked"), date):
        raise ConfigError("write the day of the last check at the top, e.g. checked = 2026-11-23")
    models: dict[str, ModelRow] = {}
    for entry in values.get("model", []):
        model = _model(entry)
        if model.id in models:
            raise ConfigError(f"model '{model.id}' is there twice: put all its rows under one [[model]]")
        models[model.id] = model
    tokenizers = {name: _tokenizer(name, factors) for name, factors in values.get("tokenizer", {}).items()}
    return PriceFile(values["checked"], text, models, tokenizers)


def nearest(name: str, valid: Iterable[str]) -> str:
    """` : did you mean ...?` or nothing, as the end of a sentence about an unknown name."""
    close = get_close_matches(name, list(valid), n=3, cutoff=0.5)
    return f": did you mean {' or '.join(repr(other) for other in close)}?" if close else ""


def _model(entry: Mapping[str, Any]) -> ModelRow:
    name = entry.get("id")
    if not isinstance(name, str) or not name:
        raise ConfigError("every [[model]] needs an id")
    place = f"model '{name}'"
    _check_names(entry, MODEL_TYPES, place)
    for key, value in entry.items():
        if not isinstance(value, MODEL_TYPES[key]) or (MODEL_TYPES[key] is int and isinstance(value, bool)):
            raise ConfigError(f"{place}: '{key}' must be {TYPE_NAMES[MODEL_TYPES[key]]}")
    rows = tuple(_row(row, place) for row in entry.get("price", []))
    if len({(row.starts, row.above) for row in rows}) != len(rows):
        raise ConfigError(f"{place}: two rows have the same 'from' and 'above'")
    if any((row.starts, 0) not in {(other.starts, other.above) for other in rows} for row in rows):
        raise ConfigError(f"{place}: a row with 'above' needs one without it from the same day")
    facts = {key: value for key, value in entry.items() if key not in ("id", "lanes", "regions", "price")}
    _choice(facts.get("confidence", "listed"), CONFIDENCE, f"{place}: 'confidence'")
    return ModelRow(name, facts, _lanes(entry.get("lanes", {}), place), _regions(entry.get("regions", {}), place), rows)


def _row(row: Mapping[str, Any], place: str) -> PriceRow:
    place = f"{place}, price from {row.get('from', 'the beginning')}"
    _check_names(row, ROW_KEYS, place)
    above = row.get("above", 0)
    if not isinstance(above, int) or above < 0:
        raise ConfigError(f"{place}: 'above' is a number of prompt tokens")
    starts = row.get("from")
    if starts is not None and (not isinstance(starts, date) or hasattr(starts, "hour")):
        raise ConfigError(f"{place}: 'from' is a day, e.g. 2026-12-01")
    return PriceRow(
        {key: _price(row[key], key, place) for key in CLASSES if key in row},
        starts,
        above,
        _lanes(row["lanes"], place) if "lanes" in row else None,
        _regions(row["regions"], place) if "regions" in row else None,
        row.get("source", ""),
        _choice(row.get("confidence", "listed"), CONFIDENCE, f"{place}: 'confidence'"),
        row.get("note", ""),
    )


def _price(value: object, key: str, place: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not (price := Decimal(value)).is_finite():
        raise ConfigError(f"{place}: '{key}' is a number of dollars")
    if price < 0:
        raise ConfigError(f"{place}: '{key}' is negative")
    if price and not SMALLEST <= price <= LARGEST:
        raise ConfigError(f"{place}: '{key}' is {price}: write dollars per million tokens (per thousand searches)")
    return price


def _lanes(value: Mapping[str, Any], place: str) -> Factors:
    lanes: dict[str, Mapping[str, Fraction]] = {}
    for lane, factors in value.items():
        _choice(lane, LANES[1:], f"{place}: lane")
        table = factors if isinstance(factors, dict) else {"all": factors}
        _check_names(table, {"all", *CLASSES}, f"{place}, lane '{lane}'")
        lanes[lane] = {key: _factor(factor, f"{place}, lane '{lane}'") for key, factor in table.items()}
    return lanes


def _regions(value: Mapping[str, Any], place: str) -> Mapping[str, Fraction]:
    return {region.lower(): _factor(factor, f"{place}, region '{region}'") for region, factor in value.items()}


def _factor(value: object, place: str) -> Fraction:
    try:
        factor = Fraction(value) if isinstance(value, str | int | Decimal) else Fraction(0)
    except (ValueError, ZeroDivisionError, OverflowError):
        factor = Fraction(0)
    if not 0 < factor <= 10:
        raise ConfigError(f"{place}: a factor is a number above 0 and at most 10, or a fraction such as '5/3'")
    return factor


def _tokenizer(name: str, value: Mapping[str, Any]) -> tuple[Fraction, Fraction]:
    _check_names(value, {"typical", "bound"}, f"tokenizer '{name}'")
    typical, bound = (_factor(value.get(key), f"tokenizer '{name}'") for key in ("typical", "bound"))
    if bound < typical:
        raise ConfigError(f"tokenizer '{name}': 'bound' is below 'typical'")
    return typical, bound


def _check_names(values: Mapping[str, Any], valid: Iterable[str], place: str) -> None:
    valid = sorted(valid)
    for key in values:
        if key not in valid:
            raise ConfigError(f"{place}: unknown key '{key}'{nearest(key, valid) or '; valid are ' + ', '.join(valid)}")


def _choice(value: object, valid: Sequence[str], what: str) -> str:
    if value not in valid:
        raise ConfigError(f"{what} is one of {', '.join(valid)}")
    return str(value)
