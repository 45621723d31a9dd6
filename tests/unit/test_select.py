"""Which reranked hits are sent."""

from __future__ import annotations

import pytest

from ragkit.nouns import Chunk, Hit
from ragkit.select import select

WORDS = [f"{first}{last}" for first in "bdfgk" for last in ("ala", "emo", "iru", "ota")]


def text(number: int) -> str:
    return " ".join(f"{word}{number}" for word in WORDS)


def hit(number: int, score: float, body: str | None = None, tokens: int = 100) -> Hit:
    body = text(number) if body is None else body
    return Hit(Chunk(f"c{number}", f"d{number}", "s", body, 0, len(body), 0, tokens), score)


def ids(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def test_close_scores_keep_the_maximum() -> None:
    assert ids(select([hit(n, 0.9 - n / 100) for n in range(8)])) == ["c0", "c1", "c2", "c3", "c4"]


def test_a_gap_ends_the_list_but_never_below_the_minimum() -> None:
    assert ids(select([hit(n, score) for n, score in enumerate((0.9, 0.8, 0.8, 0.08, 0.08))])) == ["c0", "c1", "c2"]
    assert ids(select([hit(n, score) for n, score in enumerate((0.9, 0.1, 0.01, 0.001))])) == ["c0", "c1", "c2"]


def test_what_does_not_fit_the_budget_is_passed_over_for_what_does() -> None:
    hits = [hit(0, 0.9, tokens=300), hit(1, 0.8, tokens=900), hit(2, 0.7, tokens=200)]
    assert ids(select(hits, token_budget=600)) == ["c0", "c2"]


def test_the_best_hit_stays_whatever_it_costs() -> None:
    assert ids(select([hit(0, 0.9, tokens=5000), hit(1, 0.8)], token_budget=100)) == ["c0"]


@pytest.mark.parametrize(
    "copy",
    [
        text(0),
        text(0).upper(),
        "  ".join(text(0).split()),
        text(0).replace(" ", ", "),
        " ".join(text(0).split()[:15]),
        f"{text(0)} and a few words more",
        text(0).replace("kiru0", "kiru9"),
    ],
)
def test_near_duplicates_are_dropped(copy: str) -> None:
    assert ids(select([hit(0, 0.9), hit(1, 0.8, copy), hit(2, 0.7)])) == ["c0", "c2"]


def test_a_shared_phrase_is_no_duplicate() -> None:
    shared = " ".join(WORDS[:8])
    hits = [hit(0, 0.9, f"{shared} {text(1)}"), hit(1, 0.8, f"{shared} {text(2)}")]
    assert ids(select(hits)) == ["c0", "c1"]


def test_scripts_without_spaces_are_compared_too() -> None:
    body = "今天天气很好我们去公园散步吧然后回家吃饭"
    hits = [hit(0, 0.9, body), hit(1, 0.8, body[:-1]), hit(2, 0.7, "完全不同的句子说的是另外一件事情")]
    assert ids(select(hits)) == ["c0", "c2"]


def test_nothing_gives_nothing() -> None:
    assert select([]) == ()
