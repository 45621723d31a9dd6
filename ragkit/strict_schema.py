"""JSON schemas that Anthropic, OpenAI, Gemini and vLLM all enforce, made from a Pydantic schema.

Their common ground: objects list every property as required and allow no others, what may be left out is a union with
null, no limits, no recursion, no references. What is lost on the way is told to the model in descriptions and checked
by Pydantic afterwards. `restore` undoes the nulls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ragkit.errors import ConfigError

Json = Mapping[str, Any]

FORMATS = frozenset({"date", "date-time", "time"})
LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "uniqueItems", "format",
)  # fmt: skip
DEEPEST = 10
MOST_PROPERTIES = 1000
MOST_ENUM_VALUES = 1000
MOST_UNIONS = 16
NULL: dict[str, Any] = {"type": "null"}


def to_strict(schema: Json, name: str) -> dict[str, Any]:
    """The strict form of an object schema; `ConfigError` names the place that no provider could enforce."""
    strict = _node(schema, _References(schema.get("$defs", {})), name)
    if strict.get("type") != "object":
        raise ConfigError(f"schema {name}: its root must be an object: wrap it in a model with one field")
    _check_size(strict, name)
    return strict


def restore(value: Any, schema: Json, root: Json) -> Any:
    """The value as Pydantic expects it: without the nulls that stand for "left out", enum values in their own case.

    Providers may return an enum value in other letters; that is no reason to pay for a repair.
    """
    node = _resolve(schema, root)
    if isinstance(value, dict):
        return _restore_object(value, node, root)
    if isinstance(value, list) and "items" in node:
        return [restore(item, node["items"], root) for item in value]
    if isinstance(value, str):
        options = [option for option in _options(node, root) if isinstance(option, str)]
        alike = [option for option in options if option.casefold() == value.casefold()]
        return alike[0] if value not in options and len(alike) == 1 else value
    return value


def _restore_object(value: dict[str, Any], node: Json, root: Json) -> dict[str, Any]:
    fitting = next(
        (branch for branch in _branches(node, root) if branch.get("properties", {}).keys() >= value.keys()), {}
    )
    properties, required = fitting.get("properties", {}), fitting.get("required", ())
    return {
        key: restore(item, properties.get(key, {}), root)
        for key, item in value.items()
        if item is not None or key in required or _nullable(properties.get(key, {}), root)
    }


def _resolve(node: Json, root: Json) -> Json:
    while "$ref" in node:
        node = root.get("$defs", {}).get(node["$ref"].rpartition("/")[2], {})
    return node


def _branches(node: Json, root: Json) -> list[Json]:
    """The alternatives of a node, itself where it has none."""
    parts = node.get("anyOf") or node.get("oneOf") or node.get("allOf")
    if not parts:
        return [node]
    return [branch for part in parts for branch in _branches(_resolve(part, root), root)]


def _options(node: Json, root: Json) -> list[Any]:
    found: list[Any] = []
    for branch in _branches(node, root):
        found += branch.get("enum", [branch["const"]] if "const" in branch else [])
    return found


def _nullable(node: Json, root: Json) -> bool:
    return any(branch.get("type") == "null" for branch in _branches(_resolve(node, root), root))


class _References:
    """Definitions, opened one by one so that a definition inside of itself is noticed."""

    def __init__(self, definitions: Json, opened: tuple[str, ...] = ()) -> None:
        self._definitions = definitions
        self._opened = opened

    def open(self, reference: str, place: str) -> tuple[Json, _References]:
        name = reference.rpartition("/")[2]
        if name in self._opened:
            raise ConfigError(f"schema {place}: {name} contains itself, which no provider can enforce: limit its depth")
        return self._definitions[name], _References(self._definitions, (*self._opened, name))


def _node(node: Json, references: _References, place: str) -> dict[str, Any]:
    if "$ref" in node:
        target, references = references.open(node["$ref"], place)
        described = {"description": node["description"]} if "description" in node else {}
        return _node({**target, **described}, references, place)
    if len(node.get("allOf", ())) == 1:
        merged = {**node, **node["allOf"][0]}
        del merged["allOf"]
        return _node(merged, references, place)
    described = _description(node)
    if alternatives := node.get("anyOf") or node.get("oneOf"):
        return described | {"anyOf": [_node(option, references, place) for option in alternatives]}
    if "const" in node or "enum" in node:
        return described | _enum(node, place)
    return described | _typed(node, references, place)


def _enum(node: Json, place: str) -> dict[str, Any]:
    values = node.get("enum", [node.get("const")])
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number"}
    found = {kinds.get(type(value)) for value in values}
    if len(found) != 1 or None in found:
        raise ConfigError(f"schema {place}: give an enum or literal values of one type, text or number")
    return {"type": found.pop(), "enum": list(values)}


def _typed(node: Json, references: _References, place: str) -> dict[str, Any]:
    kind = node.get("type")
    if kind == "object":
        return _object(node, references, place)
    if kind == "array":
        if "items" not in node or "prefixItems" in node:
            raise ConfigError(f"schema {place}: a tuple cannot be enforced: use a list of one type or a nested model")
        return {"type": "array", "items": _node(node["items"], references, f"{place}[]")}
    if kind not in {"string", "integer", "number", "boolean", "null"}:
        raise ConfigError(f"schema {place}: it has no single type: give the field a type that JSON knows")
    return {"type": kind, "format": node["format"]} if node.get("format") in FORMATS else {"type": kind}


def _object(node: Json, references: _References, place: str) -> dict[str, Any]:
    if "properties" not in node or node.get("additionalProperties", False) not in (False, True):
        raise ConfigError(f"schema {place}: free keys cannot be enforced: use a list of models with a key and a value")
    required = node.get("required", ())
    properties = {
        key: _node(part, references, f"{place}.{key}")
        if key in required
        else _or_null(part, references, f"{place}.{key}")
        for key, part in node["properties"].items()
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _or_null(node: Json, references: _References, place: str) -> dict[str, Any]:
    strict = _node(node, references, place)
    if "anyOf" in strict:
        return strict if NULL in strict["anyOf"] else {**strict, "anyOf": [*strict["anyOf"], NULL]}
    return {"anyOf": [strict, NULL]}


def _description(node: Json) -> dict[str, str]:
    """What the schema says in words, with the limits that it cannot keep in any other way."""
    limits = [f"{key} {node[key]}" for key in LIMITS if key in node and node[key] not in FORMATS]
    parts = [node.get("description", ""), f"({', '.join(limits)})" if limits else ""]
    text = " ".join(part for part in parts if part)
    return {"description": text} if text else {}


def _check_size(strict: Json, name: str) -> None:
    count = {"depth": 0, "properties": 0, "values": 0, "unions": 0}

    def visit(node: Json, depth: int) -> None:
        count["depth"] = max(count["depth"], depth)
        count["values"] += len(node.get("enum", ()))
        count["unions"] += "anyOf" in node
        count["properties"] += len(node.get("properties", ()))
        children = [*node.get("properties", {}).values(), *node.get("anyOf", ())]
        for child in (*children, *([node["items"]] if "items" in node else ())):
            visit(child, depth + ("properties" in node))

    visit(strict, 1)
    limits = {"depth": DEEPEST, "properties": MOST_PROPERTIES, "values": MOST_ENUM_VALUES, "unions": MOST_UNIONS}
    what = {
        "depth": "levels of nesting",
        "properties": "properties",
        "values": "enum values",
        "unions": "optional fields",
    }
    for key, most in limits.items():
        if count[key] > most:
            raise ConfigError(
                f"schema {name}: {count[key]} {what[key]} are too many for one of the providers: at most {most}"
            )
