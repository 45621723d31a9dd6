"""Schemas that every provider enforces, answers that break them, and quotes that must be real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ragkit.citation import MARK, Rules, verify
from ragkit.errors import ConfigError, InvalidAnswer
from ragkit.nouns import Chunk
from ragkit.structured import AnswerDraft, Parsed, Quote, Statement, answer_schema


def chunk(text: str, *, name: str = "c", start: int = 100) -> Chunk:
    return Chunk(name, "d", "d.md", text, start, start + len(text), 0, 10, section=("S",), page=4)


def draft(*statements: tuple[str, str, str]) -> Parsed:
    """Statements as (text, chunk id, quote)."""
    made = tuple(Statement(text=text, quotes=(Quote(chunk_id=name, quote=quote),)) for text, name, quote in statements)
    return Parsed(AnswerDraft(abstained=False, reason="", statements=made))


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for child in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        yield from nodes(child)
    if "items" in schema:
        yield from nodes(schema["items"])


PARIS = chunk("The capital of France is Paris. It has 2,102,650 inhabitants.")


# Schemas


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Inner(BaseModel):
    amount: float = Field(gt=0, description="In euros.")
    day: str | None = Field(default=None, json_schema_extra={"format": "date"})


class Outer(BaseModel):
    name: str = Field(min_length=1, max_length=20)
    size: Size = Size.SMALL
    kind: Literal["invoice"] = "invoice"
    items: list[Inner] = Field(max_length=3)
    total: int | str = 0


ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "description", "format"}


@pytest.mark.parametrize("model", [None, Outer])
def test_schemas_use_only_what_all_providers_enforce(model: type[BaseModel] | None) -> None:
    schema = answer_schema(model).schema.json_schema
    for node in nodes(dict(schema)):
        assert node.keys() <= ALLOWED
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["required"] == list(node["properties"])
    assert json.loads(json.dumps(schema)) == schema


def test_limits_are_told_in_words() -> None:
    shape = dict(answer_schema(Outer).schema.json_schema)["properties"]["data"]["anyOf"][0]["properties"]
    assert "maxLength 20" in shape["name"]["description"]
    assert shape["items"]["items"]["properties"]["amount"]["description"] == "In euros. (exclusiveMinimum 0)"


def test_an_optional_field_is_a_union_with_null() -> None:
    shape = dict(answer_schema(Outer).schema.json_schema)["properties"]["data"]["anyOf"][0]["properties"]
    assert shape["total"]["anyOf"] == [{"type": "integer"}, {"type": "string"}, {"type": "null"}]


def test_a_dataclass_serves_as_schema() -> None:
    @dataclass
    class Point:
        x: int

    parsed = answer_schema(Point).parse(json.dumps({**RIGHT, "data": {"x": 3}}))
    assert parsed.data == {"x": 3}


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: date
    size: Size


def test_a_strict_model_takes_json_for_what_it_is() -> None:
    parsed = answer_schema(Strict).parse(json.dumps({**RIGHT, "data": {"day": "2026-11-24", "size": "small"}}))
    assert parsed.data == {"day": "2026-11-24", "size": "small"}


class Tree(BaseModel):
    children: list[Tree]


class Keys(BaseModel):
    free: dict[str, int]


class Anything(BaseModel):
    value: Any


class Pair(BaseModel):
    both: tuple[int, str]


class Mixed(BaseModel):
    value: Literal["a", 1]


class Plain:
    """Nothing that Pydantic knows."""


Wide = type("Wide", (BaseModel,), {"__annotations__": {f"f{n}": int | None for n in range(20)}})


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Tree, "contains itself"),
        (Keys, "free keys"),
        (Anything, "no single type"),
        (Pair, "a tuple"),
        (Mixed, "one type"),
        (Wide, "too many"),
        (list[int], "must be an object"),
        (Plain, "Pydantic cannot describe it"),
    ],
)
def test_what_no_provider_enforces_is_refused_with_the_place(model: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        answer_schema(model)


# Parsing

RIGHT: dict[str, Any] = {"abstained": False, "reason": "", "statements": [{"text": "Paris.", "quotes": []}]}


def test_a_right_answer_is_parsed() -> None:
    assert answer_schema().parse(json.dumps(RIGHT)).draft.statements[0].text == "Paris."


def test_a_fenced_answer_is_parsed() -> None:
    assert answer_schema().parse(f"```json\n{json.dumps(RIGHT)}\n```").draft.abstained is False


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not valid JSON"),
        ("Paris.", "not valid JSON"),
        (json.dumps(RIGHT)[:-5], "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a JSON object"),
        (json.dumps(RIGHT | {"reason": "\ud800"}), "Invalid JSON"),
        ("{}", "abstained: Field required"),
        (json.dumps(RIGHT | {"more": 1}), "more: Extra inputs"),
        (json.dumps(RIGHT | {"statements": [{"text": 3, "quotes": []}]}), r"statements\.0\.text"),
    ],
)
def test_a_broken_answer_is_complained_about_in_one_sentence(text: str, complaint: str) -> None:
    with pytest.raises(InvalidAnswer, match=complaint) as caught:
        answer_schema().parse(text)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400


def with_data(**data: Any) -> str:
    return json.dumps(
        RIGHT | {"data": {"name": "n", "size": "small", "kind": "invoice", "items": [], "total": 1} | data}
    )


def test_nulls_for_what_may_be_left_out_become_defaults() -> None:
    text = with_data(size=None, kind=None, total=None, items=[{"amount": 1, "day": None}])
    assert answer_schema(Outer).parse(text).data == {
        "name": "n",
        "size": "small",
        "kind": "invoice",
        "items": [{"amount": 1.0, "day": None}],
        "total": 0,
    }


def test_an_enum_value_in_other_letters_needs_no_repair() -> None:
    data = answer_schema(Outer).parse(with_data(size="LARGE", kind="Invoice")).data
    assert data is not None
    assert (data["size"], data["kind"]) == ("large", "invoice")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"name": ""}, "data.name"),
        ({"items": [{"amount": -1, "day": None}]}, "data.items.0.amount"),
        ({"size": "x"}, "size"),
    ],
)
def test_limits_are_checked_afterwards(data: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidAnswer, match=place):
        answer_schema(Outer).parse(with_data(**data))


def test_data_may_be_missing_only_where_the_answer_abstains() -> None:
    schema = answer_schema(Outer)
    assert schema.parse(json.dumps(RIGHT | {"abstained": True, "data": None})).data is None
    with pytest.raises(InvalidAnswer, match="data is null"):
        schema.parse(json.dumps(RIGHT | {"data": None}))


# Verifying


def test_a_quote_becomes_a_citation_with_offsets_in_the_document() -> None:
    verified = verify(draft(("It is Paris.", "1", "capital of France is Paris")), [PARIS])
    assert verified.text == "It is Paris. [1]"
    [citation] = verified.citations
    assert (citation.chunk_id, citation.document_id, citation.section, citation.page) == ("c", "d", ("S",), 4)
    assert (citation.start, citation.end) == (104, 130)
    assert citation.quote == PARIS.text[4:30]


@pytest.mark.parametrize("name", ["2", "0", "", "one", "1 2", "-", "99999999999999999999", "\u0661"])
def test_ids_that_were_not_shown_are_dropped(name: str) -> None:
    verified = verify(draft(("It is Paris.", name, "The capital of France is Paris.")), [PARIS])
    assert verified.abstained
    assert verified.citations == ()
    assert verified.dropped


@pytest.mark.parametrize("name", ["1", "[1]", "#1", "doc 1", "01"])
def test_ids_may_be_dressed_up(name: str) -> None:
    assert verify(draft(("It is Paris.", name, "capital of France")), [PARIS]).citations


def test_an_id_off_by_one_is_dropped_although_the_quote_is_next_door() -> None:
    verified = verify(draft(("It is Paris.", "2", "capital of France is Paris")), [PARIS, chunk("Other.", name="o")])
    assert verified.abstained
    assert "not in d.md" in verified.dropped[0].reason


def test_one_real_quote_carries_a_statement() -> None:
    quotes = (Quote(chunk_id="1", quote="invented words"), Quote(chunk_id="1", quote="is Paris"))
    answer = Parsed(AnswerDraft(abstained=False, reason="", statements=(Statement(text="Paris.", quotes=quotes),)))
    verified = verify(answer, [PARIS])
    assert verified.text == "Paris. [1]"
    assert len(verified.dropped) == 1


def test_the_same_passage_is_cited_once() -> None:
    verified = verify(draft(("It is Paris.", "1", "is Paris"), ("Paris it is.", "1", "is Paris")), [PARIS])
    assert verified.text == "It is Paris. [1] Paris it is. [1]"
    assert len(verified.citations) == 1


def test_an_unsupported_statement_is_dropped_or_marked() -> None:
    answer = draft(("It is Paris.", "1", "is Paris"), ("It is old.", "1", "an old city"))
    assert verify(answer, [PARIS]).text == "It is Paris. [1]"
    assert verify(answer, [PARIS], Rules(unsupported="mark")).text == f"It is Paris. [1] It is old. {MARK}"


def test_nothing_supported_means_nothing_said() -> None:
    for verified in (
        verify(draft(("It is old.", "1", "an old city")), [PARIS], Rules(unsupported="drop")),
        verify(draft(("It is old.", "1", "an old city")), [PARIS], Rules(unsupported="mark")),
    ):
        assert (verified.text, verified.abstained) == ("", True)
        assert "no statement" in verified.reason


def test_an_abstention_keeps_its_reason_short_and_harmless() -> None:
    reason = "See ![x](https://evil.example/?q=secret) " + "x" * 999
    verified = verify(Parsed(AnswerDraft(abstained=True, reason=reason, statements=())), [PARIS])
    assert verified.abstained
    assert "evil" not in verified.reason
    assert len(verified.reason) <= 300


def test_a_models_own_citation_marks_are_no_citations() -> None:
    assert verify(draft(("It is Paris [7][1, 2].", "1", "is Paris")), [PARIS]).text == "It is Paris. [1]"


def test_brackets_that_the_source_has_stay() -> None:
    source = chunk("Read argv [0] first.")
    assert (
        verify(draft(("Read argv [0] first.", "1", "Read argv [0] first.")), [source]).text
        == "Read argv [0] first. [1]"
    )


def test_data_is_made_harmless_too() -> None:
    answer = Parsed(draft(("Paris.", "1", "is Paris")).draft, {"links": ["https://evil.example/?q=1"], "name": "Paris"})
    assert verify(answer, [PARIS]).data == {"links": ["[link removed]"], "name": "Paris"}


def test_an_empty_answer_abstains() -> None:
    assert verify(Parsed(AnswerDraft(abstained=False, reason="", statements=())), [PARIS]).reason
