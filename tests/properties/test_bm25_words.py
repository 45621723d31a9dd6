"""A text weighed word by word against the engine's own encoder, which weighs it as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_edge import Bm25, Bm25Config

from ragkit.nouns import Sparse
from ragkit.words import bm25
from ragkit.words.bm25 import AVERAGE_CHUNK_LENGTH, encode_document

ENGINE = Bm25(Bm25Config(language="english", avg_len=AVERAGE_CHUNK_LENGTH, ascii_folding=True))
PAGES = sorted((Path(__file__).parents[2] / "docs").rglob("*.md"))
ENGLISH = "the The THE don't runs running ran 3.14 foo_bar a x 0 C++ C# __init__ x-ray"
TYPOGRAPHY = "“quoted” — it\u2019s 5°C… naïve café, İstanbul, STRAẞE, ½ ² ™ ✅ 👍🏽 →"
SCRIPTS = "Οδυσσεύς ΟΔΥΣΣΕΎΣ ὈΔΟΣ\u2019\u0391 привет 日本語テキスト हिन्दी में عَرَبِيّ Ⓐ⑤ ﬁne e\u0301 i\u0307"
PIECES = st.one_of(
    st.sampled_from([*f"{ENGLISH} {TYPOGRAPHY} {SCRIPTS}".split(), "zz" * 90]),
    st.text(max_size=12).filter(lambda text: text.isprintable()),
    st.sampled_from(" \n\t.,;:-_/'\"()[]{}<>|\\\x1c\x85\xa0\u2009\u3000"),
)


def weights(sparse: Sparse) -> dict[int, float]:
    assert len(set(sparse.indices)) == len(sparse.indices) == len(sparse.values)
    return dict(zip(sparse.indices, sparse.values, strict=True))


def whole(text: str) -> dict[int, float]:
    vector = ENGINE.embed_document(text)
    return weights(Sparse(tuple(vector.indices), tuple(vector.values)))


@given(st.lists(PIECES, max_size=60), st.sampled_from(["", " ", "\n"]))
def test_a_text_weighs_what_the_engine_says(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert weights(encode_document(text)) == whole(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_so_does_any_text(text: str) -> None:
    assert weights(encode_document(text)) == whole(text)


@given(st.text("aB 1", max_size=3000))
@settings(max_examples=30)
def test_so_does_a_long_one_of_few_words(text: str) -> None:
    assert weights(encode_document(text)) == whole(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_so_do_real_pages(page: Path) -> None:
    for paragraph in page.read_text(encoding="utf-8").split("\n\n"):
        assert weights(encode_document(paragraph)) == whole(paragraph)


def test_every_character_that_is_taken_for_certain_is_so_for_the_engine() -> None:
    for character in map(chr, range(0x80, 0x20000)):
        if bm25._SIGNS.match(character) or bm25._LATIN.match(character):
            text = f"zebra{character}tiger"
            assert weights(encode_document(text)) == whole(text), hex(ord(character))


def test_words_are_forgotten_before_they_are_too_many() -> None:
    for number in range(bm25.MOST_WORDS + 100):
        encode_document(f"w{number}")
    assert len(bm25._terms) <= bm25.MOST_WORDS
    assert weights(encode_document("w7 words")) == whole("w7 words")
