"""A caller's JSON schema as a Pydantic model, so that what a model returns can be checked against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from ragkit.errors import ConfigError

Json = Mapping[str, Any]

LONGEST = 32_768
DEEPEST = 10
SIMPLE: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_length",
    "maxItems": "max_length",
    "description": "description",
}
KNOWN = {"type", "properties", "required", "items", "enum", "const", "anyOf", "additionalProperties", "title", *LIMITS}


def model_of(schema: Json) -> type[BaseModel]:
    """The model of an object schema; `ConfigError` names the place that it does not understand."""
    text = json.dumps(schema, sort_keys=True)
    if len(text) > LONGEST:
        raise ConfigError(f"response_schema has {len(text):,} characters: {LONGEST:,} are allowed")
    return _model_of(text)


@lru_cache(maxsize=256)
def _model_of(text: str) -> type[BaseModel]:
    """The same text gives the same class, so that what is made of it is made once."""
    schema = json.loads(text)
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ConfigError("response_schema: its root must be an object with properties")
    try:
        return _object(schema, "response_schema", 0)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"response_schema cannot be used: {str(error).splitlines()[0]}") from error


def _object(schema: Json, place: str, depth: int) -> type[BaseModel]:
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not properties:
        raise ConfigError(f"{place}: an object needs properties")
    if not isinstance(required, list) or not all(name in properties for name in required if isinstance(name, str)):
        raise ConfigError(f"{place}: required must list properties")
    fields: dict[str, Any] = {}
    for number, (name, part) in enumerate(properties.items()):
        # Names of fields are free of the rules for Python names; the alias is what the wire shows.
        kind, optional = _typed(part, f"{place}.{name}", depth + 1), name not in required
        known = Field(None, alias=name) if optional else Field(alias=name)
        fields[f"field_{number}"] = (kind | None if optional and kind is not None else kind, known)
    return create_model("data", __config__=ConfigDict(extra="forbid"), **fields)


def _typed(schema: Any, place: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > DEEPEST:
        raise ConfigError(f"{place}: write a schema here, at most {DEEPEST} levels deep")
    if unknown := sorted(set(schema) - KNOWN):
        raise ConfigError(f"{place}: '{unknown[0]}' is not supported: use {', '.join(sorted(KNOWN))}")
    if options := schema.get("anyOf"):
        if not isinstance(options, list):
            raise ConfigError(f"{place}: anyOf is a list of schemas")
        return Union[tuple(_typed(option, place, depth + 1) for option in options)]  # noqa: UP007
    if "enum" in schema or "const" in schema:
        return _literal(schema.get("enum", [schema.get("const")]), place)
    return _limited(_plain(schema, place, depth), schema)


def _literal(values: Any, place: str) -> Any:
    if not isinstance(values, list) or not values or not all(isinstance(value, str | int) for value in values):
        raise ConfigError(f"{place}: enum is a list of texts or whole numbers")
    return Literal[tuple(values)]


def _plain(schema: Json, place: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        return Union[tuple(_plain({**schema, "type": one}, place, depth) for one in kind)]  # noqa: UP007
    if kind == "object":
        return _object(schema, place, depth)
    if kind == "array":
        return list[_typed(schema.get("items"), f"{place}[]", depth + 1)]  # type: ignore[misc]
    if not isinstance(kind, str) or kind not in SIMPLE:
        raise ConfigError(f"{place}: give it a type: {', '.join((*SIMPLE, 'array', 'object'))}")
    return SIMPLE[kind]


def _limited(kind: Any, schema: Json) -> Any:
    limits = {LIMITS[name]: schema[name] for name in LIMITS if name in schema}
    return Annotated[kind, Field(**limits)] if limits else kind
