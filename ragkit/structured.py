"""The shape of a generated answer: the schema that providers enforce, and the caller's own model within it."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from ragkit.errors import ConfigError, InvalidAnswer
from ragkit.nouns import Schema
from ragkit.strict_schema import NULL, restore, to_strict

DATA_NOTE = "Fill data with what the documents say, null where they do not say it."
FENCE = re.compile(r"\s*```[a-zA-Z]*\n(.*)\n```\s*", re.DOTALL)


class Quote(BaseModel):
    """Words copied from a chunk, by the id under which the prompt shows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunk_id: str
    quote: str


class Statement(BaseModel):
    """One statement of the answer with the quotes that support it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    quotes: tuple[Quote, ...]


class AnswerDraft(BaseModel):
    """What every generator returns: all fields required, no limits, so that each provider can enforce it natively."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    abstained: bool
    reason: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A draft that obeys its schema, and the caller's data as JSON where the caller gave a schema."""

    draft: AnswerDraft
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """The schema that a provider enforces for an answer; `note` belongs into the prompt beside the question."""

    schema: Schema
    note: str = ""
    data: _Data | None = None

    def parse(self, text: str) -> Parsed:
        """The answer in a model's text; `InvalidAnswer` says in one sentence what is wrong, fit for a repair turn."""
        value = _read_json(text)
        raw = value.pop("data", None) if self.data else None
        try:
            draft = AnswerDraft.model_validate_json(json.dumps(value))
        except ValidationError as error:
            raise InvalidAnswer(_complaint(error)) from error
        if self.data is None or draft.abstained:
            return Parsed(draft)
        return Parsed(draft, self.data.validate(raw))


@dataclass(frozen=True, slots=True)
class _Data:
    """The caller's own model, as the wire shows it and as Pydantic checks it."""

    adapter: TypeAdapter[Any]
    json_schema: Mapping[str, Any]

    def validate(self, raw: Any) -> Mapping[str, Any]:
        if raw is None:
            raise InvalidAnswer("data is null although the answer did not abstain: fill it from the documents.")
        try:
            restored = json.dumps(restore(raw, self.json_schema, self.json_schema))
            value = self.adapter.validate_json(restored)
        except ValidationError as error:
            raise InvalidAnswer(_complaint(error, "data")) from error
        dumped: Mapping[str, Any] = self.adapter.dump_python(value, mode="json", by_alias=True)
        return dumped


def answer_schema(model: type[Any] | None = None) -> AnswerSchema:
    """The answer's schema, with the caller's model as `data`; `ConfigError` if the providers could not enforce it."""
    return _combined(cast("Hashable", model))


@lru_cache(maxsize=256)
def _combined(model: Any) -> AnswerSchema:
    strict = to_strict(AnswerDraft.model_json_schema(), "answer")
    if model is None:
        return AnswerSchema(Schema("answer", strict))
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", getattr(model, "__name__", "data"))[:48]
    data = _data_of(model, name)
    shape = {"anyOf": [to_strict(data.json_schema, name), NULL]}
    combined = strict | {
        "properties": strict["properties"] | {"data": shape},
        "required": [*strict["required"], "data"],
    }
    return AnswerSchema(Schema(f"answer_{name}", to_strict(combined, name)), DATA_NOTE, data)


def _data_of(model: type[Any], name: str) -> _Data:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
        return _Data(adapter, adapter.json_schema())
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigError(
            f"schema {name}: Pydantic cannot describe it as JSON: {str(error).splitlines()[0]}"
        ) from error


def _read_json(text: str) -> dict[str, Any]:
    fenced = FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer("The answer is not valid JSON: return one JSON object and nothing else.") from error
    if not isinstance(value, dict):
        raise InvalidAnswer("The answer is not a JSON object: return one JSON object and nothing else.")
    return value


def _complaint(error: ValidationError, root: str = "") -> str:
    """The first problems, in words that a model can act on; without the values, which may be long or hostile."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [
        f"{'.'.join(filter(None, (root, *map(str, problem['loc']))))}: {problem['msg']}" for problem in problems[:3]
    ]
    return f"The answer breaks its schema at {'; '.join(shown)}."
