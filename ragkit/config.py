"""Settings from `ragkit.toml` and `RAGKIT_*`, read once and frozen. Nothing else in ragkit reads the environment.

Order, later wins: defaults, the file, the environment, the caller's own arguments. A variable is named after its
section and key, `RAGKIT_STORE_PATH` for `path` in `[store]`. Unknown names are refused with the nearest valid one.
Keys of providers are also found under the names that their own SDKs use.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ragkit.errors import ConfigError
from ragkit.settings import Section, Settings

__all__ = ["Settings", "load_settings", "origins"]

FILE_NAME = "ragkit.toml"
PREFIX = "RAGKIT_"
RESERVED = ("RAGKIT_CONFIG", "RAGKIT_TEST_")
"""Variables that are not settings: the name of the file, and switches of the test suite."""
COMMON_KEYS = {
    "ANTHROPIC_API_KEY": ("providers", "anthropic", "api_key"),
    "OPENAI_API_KEY": ("providers", "openai", "api_key"),
    "GEMINI_API_KEY": ("providers", "gemini", "api_key"),
    "GOOGLE_API_KEY": ("providers", "gemini", "api_key"),
    "COHERE_API_KEY": ("providers", "cohere", "api_key"),
    "CO_API_KEY": ("providers", "cohere", "api_key"),
    "VOYAGE_API_KEY": ("providers", "voyage", "api_key"),
    "QDRANT_API_KEY": ("store", "api_key"),
}
"""Variables that other tools set for the same purpose; the `RAGKIT_*` name wins."""


def load_settings(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings; `overrides` has the file's shape, e.g. `{"store": {"path": "kb"}}`.

    Raises `ConfigError` with the place, the reason and, for an unknown name, the nearest valid one.
    """
    values: dict[str, Any] = {}
    for layer in _layers(file, os.environ if environment is None else environment, overrides or {}):
        _merge(values, layer.values)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def origins(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Where each setting that is not a default comes from, by its dotted name; arguments as in `load_settings`."""
    layers = _layers(file, os.environ if environment is None else environment, overrides or {})
    return {path: layer.name for layer in layers for path in _leaves(layer.values)}


@dataclass(frozen=True, slots=True)
class _Layer:
    name: str
    values: Mapping[str, Any]


def _layers(
    file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]
) -> tuple[_Layer, _Layer, _Layer]:
    """Lowest first."""
    path, required = _settings_file(file, environment)
    values = _read_file(path, required=required)
    _check_names(values, f"{path}")
    return (
        _Layer(f"{path}", values),
        _Layer("the environment", _read_environment(environment)),
        _Layer("an option", overrides),
    )


def _leaves(values: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield from _leaves(value, f"{within}{key}.") if isinstance(value, Mapping) else (within + key,)


def _settings_file(file: Path | None, environment: Mapping[str, str]) -> tuple[Path, bool]:
    if file is not None:
        return file, True
    if named := environment.get("RAGKIT_CONFIG"):
        return Path(named), True
    return Path(FILE_NAME), False


def _read_file(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"no settings file {file}: create it or leave the option out") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, path in COMMON_KEYS.items():
        if environment.get(name):
            _put(values, path, environment[name])
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name.startswith(RESERVED):
            continue
        if name not in _VARIABLES:
            raise ConfigError(f"unknown variable {name}{_nearest(name, _VARIABLES)}")
        _put(values, _VARIABLES[name], value)
    return values


def _put(values: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _section(parent: type[Section], key: str) -> type[Section] | None:
    kind = parent.model_fields[key].annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _paths(parent: type[Section]) -> Iterator[tuple[str, ...]]:
    for key in parent.model_fields:
        section = _section(parent, key)
        yield from [(key,)] if section is None else ((key, *rest) for rest in _paths(section))


_VARIABLES = {PREFIX + "_".join(path).upper(): path for path in _paths(Settings)}


def _check_names(values: Mapping[str, Any], place: str, parent: type[Section] = Settings, within: str = "") -> None:
    for key, value in values.items():
        if key not in parent.model_fields:
            table = f" in [{within}]" if within else ""
            raise ConfigError(f"{place}: unknown key '{key}'{table}{_nearest(key, parent.model_fields)}")
        section = _section(parent, key)
        if section is None:
            continue
        name = f"{within}.{key}" if within else key
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: '{name}' is a table: write [{name}] above its keys")
        _check_names(value, place, section, name)


def _nearest(name: str, valid: Mapping[str, object]) -> str:
    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f": did you mean '{close[0]}'?" if close else f": valid are {', '.join(sorted(valid))}"


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return f"setting {place}: {reason[0].lower()}{reason[1:]}"
