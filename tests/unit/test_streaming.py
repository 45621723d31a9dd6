import json

from hypothesis import given
from hypothesis import strategies as st

from ragkit.streaming import StatementReader
from ragkit.structured import Quote, Statement

QUOTES = st.lists(st.builds(Quote, chunk_id=st.text(max_size=3), quote=st.text(max_size=20)), max_size=2)
STATEMENTS = st.lists(st.builds(Statement, text=st.text(max_size=30), quotes=QUOTES.map(tuple)), max_size=4)


def written(statements: list[Statement], reason: str = "") -> str:
    draft = {"abstained": False, "reason": reason, "statements": [one.model_dump() for one in statements]}
    return json.dumps(draft)


@given(STATEMENTS, st.integers(1, 17), st.text(max_size=10))
def test_however_an_answer_is_cut_its_statements_come_once_and_in_order(
    statements: list[Statement], size: int, reason: str
) -> None:
    text, reader = written(statements, reason), StatementReader()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert [statement for piece in pieces for statement in reader.feed(piece)] == statements


def test_a_statement_comes_with_its_last_character() -> None:
    statement = Statement(text="Five years.", quotes=(Quote(chunk_id="1", quote="five years"),))
    text, reader = written([statement]), StatementReader()
    end = text.rindex("}]}")
    assert reader.feed(text[:end]) == ()
    assert reader.feed(text[end]) == (statement,)


def test_a_reason_that_looks_like_statements_is_none() -> None:
    reader = StatementReader()
    assert reader.feed(written([], reason='"statements": [{"text": "x", "quotes": []}]')) == ()


def test_what_is_no_statement_is_left_to_the_validation_of_the_whole() -> None:
    reader = StatementReader()
    assert reader.feed('{"statements": [{"text": 3}, {"text": "x", "quotes": []}]}') == ()
