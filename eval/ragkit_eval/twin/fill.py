"""Any JSON schema filled type-correctly, with words of the prompt where a string is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit_eval.twin.answer import Found, Material, prose, sentences

DEEPEST = 12
"""Below this, optional and repeated parts are left out, so that recursive schemas end."""
FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
QUOTED = ("quote", "passage", "excerpt", "evidence", "cited_text")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema we are, and which sentence the values around here talk about."""

    name: str
    depth: int
    found: Found | None

    def into(self, name: str, found: Found | None) -> _Place:
        return _Place(name, self.depth + 1, found)


class Filler:
    """Fills one schema from one prompt's material."""

    def __init__(self, schema: Mapping[str, Any], material: Material, *, invented: bool = False) -> None:
        self._root = schema
        self._material = material
        self._invented = invented
        """Quotes are made up, as by a model that does not stick to its documents."""

    def fill(self) -> Any:
        found = self._material.found
        return self._value(self._root, _Place("", 0, found[0] if found else None))

    def _value(self, schema: Any, place: _Place) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._value(self._option(schema[key], place), place)
        return self._typed(_type_of(schema), schema, place)

    def _typed(self, kind: str, schema: Mapping[str, Any], place: _Place) -> Any:
        if kind == "object":
            return self._object(schema, place)
        if kind == "array":
            return self._array(schema, place)
        if kind == "string":
            return self._string(schema, place)
        if kind == "boolean":
            return place.name == "abstained" and place.found is None
        if kind in ("integer", "number"):
            return self._number(schema, place, whole=kind == "integer")
        return None

    def _resolve(self, schema: Any) -> Mapping[str, Any]:
        if not isinstance(schema, Mapping):
            return {"type": "string"} if schema is not False else {"type": "null"}
        while "$ref" in schema:
            target: Any = self._root
            for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")] if step else target
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        merged = dict(schema)
        for each in merged.pop("allOf", ()):
            part = self._resolve(each)
            merged = {**part, **merged, "properties": {**part.get("properties", {}), **merged.get("properties", {})}}
            merged["required"] = [*part.get("required", ()), *merged.get("required", ())]
        return merged

    def _option(self, options: Sequence[Any], place: _Place) -> Any:
        """The first option that is a value; null where the nesting must end."""
        nulls = [option for option in options if self._resolve(option).get("type") == "null"]
        others = [option for option in options if option not in nulls]
        return nulls[0] if nulls and (place.depth > DEEPEST or not others) else others[0]

    def _choice(self, values: Sequence[Any]) -> Any:
        """The value that the question or the answer names, else the first."""
        text = f"{self._material.question} {prose(self._material)}".lower()
        return next((value for value in values if isinstance(value, str) and value.lower() in text), values[0])

    def _object(self, schema: Mapping[str, Any], place: _Place) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", list(properties) if place.depth <= DEEPEST else [])
        names = [name for name in properties if place.depth <= DEEPEST or name in required]
        return {name: self._value(properties[name], place.into(name, place.found)) for name in names}

    def _array(self, schema: Mapping[str, Any], place: _Place) -> list[Any]:
        fixed = [self._value(each, place.into(place.name, place.found)) for each in schema.get("prefixItems", ())]
        if fixed:
            return fixed
        least, most = schema.get("minItems", 0), schema.get("maxItems", 10**6)
        if place.depth > DEEPEST or "items" not in schema:
            return [self._value(schema.get("items", {}), place) for _ in range(least)]
        items: list[Found | None] = (
            list(self._material.found) if place.depth <= 1 else [place.found] * bool(place.found)
        )
        items += [None] * (least - len(items))
        return [self._value(schema["items"], place.into(place.name.rstrip("s"), found)) for found in items[:most]]

    def _string(self, schema: Mapping[str, Any], place: _Place) -> str:
        if "format" in schema and schema["format"] in FORMATS:
            return FORMATS[schema["format"]]
        text = self._words(place)
        text = text[: schema.get("maxLength", len(text))]
        return text.ljust(schema.get("minLength", 0), ".")

    def _words(self, place: _Place) -> str:
        name, found = place.name.lower(), place.found
        if name == "reason":
            return "" if found else "The documents do not contain the answer."
        if name == "context":
            return _opening(self._material)
        if found is None:
            return prose(self._material)
        if name in ("id", "ids") or name.endswith(("_id", "_ids")):
            return found.passage.id
        if name in ("source", "title"):
            return found.passage.source
        if any(word in name for word in QUOTED):
            return "This sentence stands in no document." if self._invented else found.quote
        return found.quote if place.depth > 1 else prose(self._material)

    def _number(self, schema: Mapping[str, Any], place: _Place, *, whole: bool) -> int | float:
        match = NUMBER.search(place.found.quote) if place.found else None
        value = float(match.group()) if match else 0.0
        least = schema.get("minimum", schema.get("exclusiveMinimum", value - 1) + 1)
        most = schema.get("maximum", schema.get("exclusiveMaximum", value + 1) - 1)
        value = max(min(value, most), least)
        step = schema.get("multipleOf", 1 if whole else None)
        value = value if step is None else -(-value // step) * step
        return int(value) if whole else value


def _opening(material: Material) -> str:
    """What the first document is about: its first sentence that is one."""
    told = [quote for passage in material.passages[:1] for quote, _, _ in sentences(passage.text)]
    return next((quote for quote in told if quote.endswith(".")), prose(material))


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind).lower()
