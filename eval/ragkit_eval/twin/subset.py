"""The parts of JSON schema that providers enforce; anything else is refused before a token is generated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength")
NESTED = ("items", "additionalProperties", "not", "if", "then", "else")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")


@dataclass(frozen=True, slots=True)
class Node:
    """A schema within a schema, and how deep it lies in objects and arrays.

    `recursive` marks a schema within itself, `needed` one that every value must have.
    """

    schema: Mapping[str, Any]
    depth: int
    recursive: bool = False
    needed: bool = True


def nodes(schema: Mapping[str, Any]) -> Iterator[Node]:
    """Every schema within this one, each `$ref` followed; a schema within itself is given once, as recursive."""
    yield from _walk(_Walk(schema), schema, 0, needed=True)


@dataclass(frozen=True, slots=True)
class _Walk:
    """The schema at the root and the references that were followed to get here."""

    root: Mapping[str, Any]
    trail: tuple[str, ...] = ()


def _walk(walk: _Walk, schema: Any, depth: int, *, needed: bool) -> Iterator[Node]:
    if not isinstance(schema, Mapping):
        return
    if isinstance(reference := schema.get("$ref"), str):
        if reference in walk.trail or reference == "#":
            yield Node(schema, depth, recursive=True, needed=needed)
            return
        inner = _Walk(walk.root, (*walk.trail, reference))
        yield from _walk(inner, _target(walk.root, reference), depth, needed=needed)
        return
    yield Node(schema, depth, needed=needed)
    for key in LISTED:
        for each in schema.get(key, ()):
            yield from _walk(walk, each, depth, needed=needed and key == "allOf")
    for key in NESTED:
        yield from _walk(walk, schema.get(key), depth + 1, needed=False)
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        yield from _walk(walk, each, depth + 1, needed=needed and name in required)


def _target(root: Mapping[str, Any], reference: str) -> Any:
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(part, {}) if part and isinstance(target, Mapping) else target
    return target


def is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind)


def is_union(schema: Mapping[str, Any]) -> bool:
    return "anyOf" in schema or isinstance(schema.get("type"), list)


def anthropic_complaint(schema: Any) -> str | None:
    """Why Claude's structured outputs refuse a schema, or None."""
    if not isinstance(schema, Mapping):
        return "schema must be an object"
    optional = unions = 0
    for node in nodes(schema):
        if complaint := _anthropic_node(node):
            return complaint
        properties = node.schema.get("properties", {})
        optional += sum(name not in node.schema.get("required", ()) for name in properties)
        unions += sum(is_union(each) for each in properties.values() if isinstance(each, Mapping))
    if optional > 24:
        return f"schema has {optional} optional parameters; at most 24 are allowed"
    return f"schema has {unions} union-typed parameters; at most 16 are allowed" if unions > 16 else None


def _anthropic_node(node: Node) -> str | None:
    schema = node.schema
    if node.recursive:
        return "recursive schemas are not supported"
    for key in (*LIMITS, "maxItems", "uniqueItems", "oneOf", "not", "if", "patternProperties"):
        if key in schema:
            return f"'{key}' is not supported"
    if schema.get("minItems", 0) not in (0, 1):
        return "'minItems' must be 0 or 1"
    if is_object(schema) and schema.get("additionalProperties") is not False:
        return "for 'object' type, 'additionalProperties' must be explicitly set to false"
    return None


def openai_complaint(schema: Any) -> str | None:
    """Why OpenAI's strict mode refuses a schema, or None."""
    if not isinstance(schema, Mapping) or not is_object(schema) or "anyOf" in schema:
        return "schema must be an object at its root and not use anyOf there"
    properties = enums = characters = 0
    for node in nodes(schema):
        if complaint := _openai_node(node):
            return complaint
        values = [value for value in node.schema.get("enum", ()) if isinstance(value, str)]
        properties += len(node.schema.get("properties", {}))
        enums += len(node.schema.get("enum", ()))
        characters += sum(map(len, (*node.schema.get("properties", {}), *values)))
    if properties > 5000:
        return "schema has more than 5000 object properties"
    if enums > 1000:
        return "schema has more than 1000 enum values"
    return "names and values of the schema exceed 120000 characters" if characters > 120_000 else None


def _openai_node(node: Node) -> str | None:
    schema = node.schema
    for key in ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "oneOf"):
        if key in schema:
            return f"'{key}' is not permitted"
    if node.depth > 10 and not node.recursive:
        return "schema is nested more than 10 levels deep"
    values = [value for value in schema.get("enum", ()) if isinstance(value, str)]
    if len(values) > 250 and sum(map(len, values)) > 15_000:
        return "an enum of more than 250 strings exceeds 15000 characters"
    if is_object(schema):
        if schema.get("additionalProperties") is not False:
            return "'additionalProperties' is required to be supplied and to be false"
        if missing := sorted(set(schema.get("properties", {})) - set(schema.get("required", ()))):
            return f"'required' must include every key in properties; missing '{missing[0]}'"
    return None


_GEMINI_KEYS = """
$id $defs $ref $anchor type format title description enum items prefixItems minItems maxItems minimum maximum anyOf
oneOf properties additionalProperties required propertyOrdering
"""
GEMINI_KEYS = frozenset(_GEMINI_KEYS.split())


def gemini_complaint(schema: Any) -> str | None:
    """Why Gemini's response_json_schema refuses a schema, or None."""
    if not isinstance(schema, Mapping):
        return "response_json_schema must be an object"
    for node in nodes(schema):
        if unknown := sorted(set(node.schema) - GEMINI_KEYS - {"const", "default"}):
            return f"response_json_schema: unknown key '{unknown[0]}'"
        if node.recursive and node.needed:
            return "response_json_schema: recursion is allowed in optional properties only"
    return None
