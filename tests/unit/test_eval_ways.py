"""Ways to keep chunks, their names and worth, and what all set-ups of a ladder or a plan share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ragkit.nouns import Chunk, Hit
from ragkit.select import select
from ragkit_eval.cases import Dataset
from ragkit_eval.evidence import EVERY_CHUNK, USUAL, Evidence, by_score, distinct_of, exactly
from ragkit_eval.ladder import Ladder, Rung
from ragkit_eval.ladder_text import about_ladder, invoices
from ragkit_eval.levers import Step
from ragkit_eval.once import Once
from ragkit_eval.sandbox import NOTHING, copy_with_holes
from ragkit_eval.workload import Inputs, Workload

TEXTS = some.lists(some.sampled_from(["ab", "cd", "ef", "gh", "ij"]), max_size=9).map(" ".join)
WAYS: tuple[Evidence, ...] = (EVERY_CHUNK, USUAL, exactly(3), by_score(0.3), by_score(0.0))
WAYS += (
    Evidence(40, "embedded", 2, 5, 0.5, 60),
    Evidence(40, "embedded", 1, 4, 0.6),
    Evidence(40, "embedded", 2, 6, 0.4),
)


@some.composite
def ranked(draw: some.DrawFn) -> list[Hit]:
    parts = draw(some.lists(some.tuples(some.floats(0, 1), TEXTS, some.integers(0, 40)), max_size=10))
    parts.sort(key=lambda part: -part[0])
    return [
        Hit(Chunk(f"c{place}", "d", "s", text, 0, len(text), 0, tokens), score)
        for place, (score, text, tokens) in enumerate(parts)
    ]


@given(ranked(), some.lists(some.sampled_from(WAYS), min_size=1))
def test_ways_keep_what_the_line_keeps(hits: list[Hit], ways: list[Evidence]) -> None:
    distinct = distinct_of(hits, ways)
    assert [way.keep(hits, distinct) for way in ways] == [select(hits, **way.overlay()["select"]) for way in ways]


def test_ways_that_differ_have_names_that_differ() -> None:
    ways = [EVERY_CHUNK, exactly(EVERY_CHUNK.k), exactly(3), replace(exactly(3), reranker="none")]
    ways += [by_score(0.1), by_score(0.1, 80), replace(exactly(3), reranker="bge")]
    assert len({way.name for way in ways}) == len(ways)
    assert replace(exactly(3), reranker="none").name == "3 chunks, not reranked"


def test_a_floor_of_nothing_keeps_every_chunk_and_says_so() -> None:
    assert by_score(0.0).name == "40 chunks"


def rung(step: Step, **found: Any) -> Rung:
    usual: dict[str, Any] = {"questions": 1, "cost_pico": 1, "local_pico": 0, "in_context": 1.0, "sufficient": 1.0}
    counts = {"abstained": 0, "failed": 0, "tiers": {}, "prompt": 1.0, "output": 1.0, "cached": 0.0}
    return Rung(**{"step": step, "difference_pico": 0, **usual, **counts, **found})


def ladder(evidence: Evidence, rungs: Sequence[Rung] = (), alone: Sequence[Rung] = ()) -> Ladder:
    work = Workload(Dataset("set", (), ()), ())
    local = cast("Any", None)
    return Ladder(Inputs(), work, tuple(rungs), tuple(alone), (), (), 0, 0, local, evidence, 0.0)


def test_a_set_up_that_two_tables_show_is_invoiced_once() -> None:
    first, other = Step("+ caching", frozenset({"caching"})), Step("naive", frozenset())
    again = replace(first, name="only caching")
    found = ladder(USUAL, [rung(other), rung(first, failed=3)], [rung(again, failed=3, difference_pico=0)])
    assert "the largest of 2 set-ups" in invoices(found)
    assert "without an answer: 3;" in invoices(found)


@pytest.mark.parametrize(
    ("floor", "said"), [(0.1, "3-40 chunks above 0.1, a share of the best one's score;"), (0.0, "40 chunks; fewer did")]
)
def test_the_ladder_tells_which_chunks_are_sent(floor: float, said: str) -> None:
    assert said in "\n".join(about_ladder(ladder(by_score(floor))))


async def test_the_same_work_is_done_once() -> None:
    done: list[tuple[str, list[int]]] = []

    def work(name: str, numbers: list[int]) -> int:
        done.append((name, numbers))
        return len(done)

    once = Once()
    found = [await once(work, name, numbers) for name, numbers in (("a", [1]), ("a", [1]), ("b", [1]), ("a", [2]))]
    assert found == [1, 1, 2, 3]
    assert len(done) == 3


@pytest.mark.parametrize("content", [b"", b"x", NOTHING, NOTHING * 3 + b"end", b"start" + NOTHING * 2, NOTHING + b"\0"])
def test_a_copy_with_holes_reads_like_its_original(content: bytes, tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    original.write_bytes(content)
    copy_with_holes(str(original), str(copied))
    assert copied.read_bytes() == content


def test_a_copy_takes_no_room_for_what_is_not_there(tmp_path: Path) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    with original.open("wb") as file:
        file.write(b"start")
        file.truncate(64 << 20)
    if original.stat().st_blocks * 512 >= 64 << 20:
        pytest.skip("this file system keeps no holes")
    copy_with_holes(str(original), str(copied))
    assert copied.stat().st_size == 64 << 20
    assert copied.stat().st_blocks * 512 <= 1 << 20
