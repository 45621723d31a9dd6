"""What the twin answers: sentences of the prompt's documents, in any schema."""

from __future__ import annotations

import math
from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from ragkit.nouns import Chunk
from ragkit.prompt import render
from ragkit.structured import AnswerDraft
from ragkit_eval.twin.answer import Material, prose, read_prompt
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fill import Filler
from ragkit_eval.twin.tokens import NARROW, WIDE, count, pieces
from ragkit_eval.twin.vectors import embed, relevance
from ragkit_eval.twin.writing import Task, write

PUMP = "The warranty of the blue pump lasts seven years. It starts with the day of delivery."
FILTER = "Filters are changed each spring.\nA filter costs 12 dollars."


def chunk(number: int, text: str) -> Chunk:
    return Chunk(f"c{number}", f"d{number}", f"{number}.md", text, 0, len(text), 0, 20)


def material(question: str, *texts: str) -> Material:
    prompt = render(question, [chunk(number, text) for number, text in enumerate(texts)])
    return read_prompt([prompt.system, prompt.evidence, prompt.question])


def test_it_finds_the_sentence_in_what_the_prompt_stage_renders() -> None:
    found = material("How long is the warranty of the pump?", FILTER, PUMP).found[0]
    assert found.quote == "The warranty of the blue pump lasts seven years."
    assert (found.passage.id, found.passage.source) == ("2", "1.md")


def test_it_abstains_where_the_documents_say_nothing() -> None:
    nothing = material("Who won the cup final?", FILTER, PUMP)
    assert nothing.found == ()
    draft = AnswerDraft.model_validate(Filler(AnswerDraft.model_json_schema(), nothing).fill())
    assert draft.abstained and draft.reason and draft.statements == ()


def test_a_draft_has_verbatim_quotes_and_an_invented_one_on_request() -> None:
    asked = material("How long is the warranty of the pump?", FILTER, PUMP)
    schema = AnswerDraft.model_json_schema()
    draft = AnswerDraft.model_validate(Filler(schema, asked).fill())
    assert not draft.abstained and draft.statements[0].quotes[0].quote in PUMP
    invented = AnswerDraft.model_validate(Filler(schema, asked, invented=True).fill())
    assert invented.statements[0].quotes[0].quote not in PUMP + FILTER


def test_a_prompt_without_documents_is_its_own_document() -> None:
    found = read_prompt(["The sky over Mars is red at noon.", "What is the sky over Mars like?"]).found
    assert found[0].quote == "The sky over Mars is red at noon."


class Colour(StrEnum):
    BLUE = "blue"
    RED = "red"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: datetime
    day: date
    key: UUID
    colour: Colour
    kind: Literal["pump", "filter"]
    parent: Inner | None


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=3, max_length=40)
    price: float = Field(gt=0, le=10)
    count: int = Field(ge=2, multiple_of=4)
    exact: bool
    maybe: str | None
    many: list[Inner] = Field(min_length=2, max_length=3)
    pair: tuple[int, str]
    table: dict[str, int]
    either: int | str


@pytest.mark.parametrize("question", ["How long is the warranty of the blue pump?", "Who won the cup final?"])
def test_any_schema_is_filled_type_correctly(question: str) -> None:
    filled = Filler(Everything.model_json_schema(), material(question, PUMP, FILTER)).fill()
    value = Everything.model_validate(filled)
    assert len(value.many) == 2
    if "pump" in question:
        assert value.many[0].colour is Colour.BLUE and value.many[0].kind == "pump"


def test_output_stops_at_the_limit_which_covers_thinking() -> None:
    asked = material("How long is the warranty of the pump?", PUMP)
    written = write(Task(asked, 20, WIDE, thinking=16), None)
    assert (written.output, written.stop, len(written.pieces)) == (20, "length", 4)
    assert write(Task(asked, 10, WIDE, thinking=16), None).text == ""


@pytest.mark.parametrize(
    ("kind", "stop"), [("refusal", "refusal"), ("empty", "end"), ("length", "length"), ("schema_break", "end")]
)
def test_faults_spoil_what_is_written(kind: str, stop: str) -> None:
    asked = material("How long is the warranty of the pump?", PUMP)
    written = write(Task(asked, 500, WIDE, schema=AnswerDraft.model_json_schema()), Fault(kind))
    assert written.stop == stop
    with pytest.raises(ValueError, match="validation error"):
        AnswerDraft.model_validate_json(written.text)


def test_stop_sequences_end_the_text_before_them() -> None:
    asked = material("How long is the warranty of the pump?", PUMP)
    written = write(Task(asked, 500, WIDE, stops=("seven", "blue")), None)
    assert (written.text, written.stop, written.stop_sequence) == ("The warranty of the ", "stop_sequence", "blue")


@settings(deadline=None)
@given(st.text(), st.sampled_from([NARROW, WIDE]))
def test_tokens_join_to_their_text(text: str, width: int) -> None:
    assert "".join(pieces(text, width)) == text
    assert count(text, width) == len(pieces(text, width))


def test_newer_claude_models_count_about_30_percent_more_tokens() -> None:
    text = " ".join([PUMP, FILTER] * 40)
    assert 1.15 < count(text, NARROW) / count(text, WIDE) < 1.45


@settings(deadline=None)
@given(st.text(), st.sampled_from([64, 256, 1536]))
def test_vectors_are_unit_and_depend_on_the_text_only(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(sum(value * value for value in vector), 1.0, rel_tol=1e-9)
    assert vector == embed(text, dimensions)


def test_relevance_orders_by_shared_rare_words() -> None:
    scores = relevance("warranty of the pump", ["pump pump pump", PUMP, FILTER])
    assert scores[1] == 1.0 and scores[1] > scores[0] > scores[2] == 0.0


def test_prose_is_made_of_sentences() -> None:
    assert prose(material("What does a filter cost?", FILTER)) == "A filter costs 12 dollars."
