"""Long texts are read whole, in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ragkit.nouns import Chunk, Hit
from ragkit.rerankers.windows import MARKERS, best_of, chance, pair, windows


def words(text: str) -> int:
    return len(text.split())


def hit(name: str, text: str, title: str = "") -> Hit:
    return Hit(Chunk(name, name, "s", text, 0, len(text), 0, 1, title), 0.0)


@given(text=some.text("abc ", max_size=200), room=some.integers(1, 20))
def test_pieces_fit_and_lose_no_word(text: str, room: int) -> None:
    pieces = windows(text, room, words)
    assert all(words(piece) <= room for piece in pieces)
    assert " ".join(" ".join(pieces).split()) == " ".join(text.split())


def test_a_text_without_blanks_is_cut_all_the_same() -> None:
    assert "".join(windows("x" * 1000, 10, len)) == "x" * 1000


def test_the_question_takes_its_room_but_never_all() -> None:
    limit = MARKERS + 20
    hits = [hit("a", "one " * 30, "Title"), hit("b", "short")]
    short = pair("a question", hits, limit, words)
    assert [place for place, _ in short] == [0, 0, 1]
    assert short[0][1].startswith("Title\n")
    assert all(words(piece) <= 18 for _, piece in short)
    endless = pair("word " * 500, hits, limit, words)
    assert all(words(piece) <= limit // 4 for _, piece in endless)


def test_a_hit_is_as_good_as_its_best_piece() -> None:
    hits = [hit("b", "x"), hit("a", "y"), hit("c", "z")]
    ranked = best_of(hits, [(0, ""), (0, ""), (1, ""), (2, "")], [-4.0, 3.0, 3.0, 0.0])
    assert [hit.chunk.id for hit in ranked] == ["a", "b", "c"]
    assert ranked[2].score == 0.5


@pytest.mark.parametrize("logit", [-1e6, -1.0, 0.0, 1.0, 1e6])
def test_chances_stay_between_0_and_1(logit: float) -> None:
    assert 0.0 <= chance(logit) <= 1.0
