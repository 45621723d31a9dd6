"""Trees that learn chances from a few numbers."""

from __future__ import annotations

import random
from math import inf

import pytest

from ragkit.routing.forest import LEAST, NODES, Forest, Tree, plant, shares
from ragkit.routing.form import form, split

YES, NO = (1.0, 0.0), (0.0, 1.0)


def test_a_tree_asks_from_the_root_down() -> None:
    leaves = tuple((float(place),) for place in range(NODES + 1))
    tree = Tree((0, 1, 1, 2, 2, 2, 2), (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5), leaves)
    rows = [(float(a), float(b), float(c)) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    assert [tree.leaf(row)[0] for row in rows] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert tree.leaf((0.5, 0.5, 0.5)) == (0.0,)


def test_what_depends_on_two_numbers_together_is_learnt() -> None:
    chance = random.Random(1)
    rows = [(chance.random(), chance.random(), chance.random()) for _ in range(1500)]
    targets = [YES if (row[0] > 0.3) and (row[1] > 0.6) else NO for row in rows]
    forest = plant(rows, targets, [1.0] * len(rows))
    both = forest.chances((0.9, 0.9, 0.5))[0]
    assert both > 0.6
    assert forest.chances((0.9, 0.1, 0.5))[0] < both / 2
    assert forest.chances((0.1, 0.9, 0.5))[0] < both / 2
    assert forest == plant(rows, targets, [1.0] * len(rows))


def test_noise_is_not_learnt() -> None:
    chance = random.Random(2)
    rows = [(chance.random(), chance.random(), chance.random()) for _ in range(1000)]
    targets = [YES if chance.random() < 0.3 else NO for _ in rows]
    forest = plant(rows, targets, [1.0] * len(rows))
    told = [forest.chances(row)[0] for row in rows[:200]]
    assert all(0.1 < one < 0.55 for one in told)


def test_weights_count() -> None:
    rows, targets = [(0.0,)] * 100, [YES] * 50 + [NO] * 50
    forest = plant(rows, targets, [3.0] * 50 + [1.0] * 50)
    assert forest.chances((0.0,))[0] == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("count", [1, 3, int(LEAST)])
def test_too_few_rows_give_the_mean(count: int) -> None:
    forest = plant([(float(at), 1.0) for at in range(count)], [(0.7, 0.3)] * count, [1.0] * count)
    assert all(cut == inf for tree in forest.trees for cut in tree.cuts)
    assert forest.chances((5.0, 1.0))[0] == pytest.approx(0.7, abs=0.02)


def test_chances_add_up_and_stay_finite() -> None:
    assert shares([800.0, -800.0, 0.0]) == pytest.approx([1, 0, 0])
    assert sum(Forest((0.1, -2.0, 3.0)).chances(())) == pytest.approx(1)


def test_the_form_tells_choices_apart_from_the_question() -> None:
    asked, choices = split("How many are 2 and 3?\nA. 5\nB. 6\nAnswer:")
    assert (asked, choices) == ("How many are 2 and 3?", ["5", "6"])
    plain = form(*split("How many are 2 and 3?"))
    whole = form(asked, choices)
    assert len(plain) == len(whole)
    assert plain[: len(form("", ())) - 23] == whole[: len(form("", ())) - 23]
    assert not any(plain[-23:])
    assert whole[-23] == 2


@pytest.mark.parametrize(
    "question",
    ["", "\nA. \nB. ", "٣ and ² and 1.2.3 and 1,2,3", "\nA. " + "9" * 900, "\nA. x\n\nB. y\n\nC. z", "\ud800"],
)
def test_any_text_has_a_finite_form(question: str) -> None:
    assert all(-inf < number < 1e13 for number in form(*split(question)))
