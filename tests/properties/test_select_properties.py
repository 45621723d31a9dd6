"""What holds of every selection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from ragkit.nouns import Chunk, Hit
from ragkit.select import select

WORDS = some.lists(some.sampled_from(["ab", "cd", "ef", "gh", "ij", "kl"]), max_size=12).map(" ".join)


@some.composite
def ranked(draw: some.DrawFn) -> list[Hit]:
    parts = draw(some.lists(some.tuples(some.floats(0, 1), WORDS, some.integers(0, 900)), max_size=12))
    parts.sort(key=lambda part: -part[0])
    return [
        Hit(Chunk(f"c{place}", f"d{place}", "s", text, 0, len(text), 0, tokens), score)
        for place, (score, text, tokens) in enumerate(parts)
    ]


@given(hits=ranked(), minimum=some.integers(1, 4), more=some.integers(0, 4), budget=some.integers(1, 3000))
def test_selection(hits: list[Hit], minimum: int, more: int, budget: int) -> None:
    kept = select(hits, minimum=minimum, maximum=minimum + more, token_budget=budget)
    places = [hits.index(hit) for hit in kept]
    assert places == sorted(places), "the order is kept, and nothing is invented"
    assert kept[:1] == tuple(hits[:1]), "the best hit is always there"
    assert len(kept) <= minimum + more
    assert len(kept) <= 1 or sum(hit.chunk.tokens for hit in kept) <= budget
    bodies = [hit.chunk.text for hit in kept if hit.chunk.text]
    assert len(bodies) == len(set(bodies))
    assert select(kept, minimum=minimum, maximum=minimum + more, token_budget=budget) == kept, "doing it twice is once"
    assert kept == select(hits, minimum=minimum, maximum=minimum + more, token_budget=budget)


@given(hits=ranked())
def test_a_roomier_budget_never_starves_the_minimum(hits: list[Hit]) -> None:
    distinct = {hit.chunk.text for hit in hits}
    kept = select(hits, minimum=3, maximum=5, token_budget=10**9)
    assert len(kept) <= max(len(distinct), len(hits))
    assert len(kept) >= min(1, len(hits))
