"""The quick way to the words of a text finds what the pattern finds."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ragkit.words.bm25 import encode_query
from ragkit.words.terms import term
from ragkit.words.text import WORD, lower_tokens, stems, tokens, words

TEXTS = st.text() | st.text("aZ9_ -\u00e9\u2014\u2019\u4e00\u30ab\x85\u3000.\ud800", max_size=30)


@given(TEXTS)
@example("caf\u00e9\u2014bar_foo \u4e00\u4e8cabc it\u2019s")
def test_tokens_are_what_the_pattern_finds(text: str) -> None:
    assert tokens(text) == WORD.findall(text)
    assert words(text) == [stem for token in WORD.findall(text) for stem in stems(token)]


@given(TEXTS)
def test_lower_tokens_are_those_of_the_folded_text(text: str) -> None:
    assert lower_tokens(text) == WORD.findall(text.casefold())


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12))
def test_a_term_is_what_a_question_with_the_word_asks_for(word: str) -> None:
    assert ((term(word),) if term(word) else ()) == encode_query(word).indices
