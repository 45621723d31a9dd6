"""What the router learns from ledgers and ratings: as much as they tell, and no more."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ragkit.bill import SIMULATED
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Model, Receipt, Tier, Usage
from ragkit.route import Signals, choose, gain_in
from ragkit.routing.complexity import FLOORS, Complexity
from ragkit.routing.cost import Load, Market
from ragkit.routing.learn import FEWEST, FEWEST_EACH, Line, fit_line, learn, right_at
from ragkit.routing.ratings import Asked, Rating, read_ratings
from ragkit.routing.tiers import RUNGS, Rung

AT = datetime(2026, 11, 23, tzinfo=UTC)
TWO: tuple[Rung, ...] = ("small", "large")
PRICES: dict[Rung, int] = {"small": 1_000, "medium": 10_000, "large": 50_000}


def event(tier: Tier | None, reason: str, pico: int | None = 5, kind: str = "generate") -> Event:
    return Event(kind, "m", Usage(input=1), pico, 0.1, reason, tier=tier)  # type: ignore[arg-type]


def receipt(number: int, *events: Event) -> Receipt:
    return Receipt(f"r{number}", AT, Account(), events, 0, "", "v")


def drawn(count: int, small: float, large: float, *, seed: int = 1) -> tuple[list[Asked], list[Rating]]:
    """Questions with scores from 0 to 0.4 that two tiers answered, right with these chances on hard ones."""
    chance = random.Random(seed)
    asked, ratings = [], []
    for number in range(count):
        score, rung = chance.random() * 0.4, chance.choice(TWO)
        right = chance.random() < (0.95 if score < 0.2 else small if rung == "small" else large)
        asked.append(Asked(str(number), score, rung, PRICES[rung]))
        ratings.append(Rating(str(number), score, rung, right))
    return asked, ratings


def test_the_score_is_found_in_the_reason_that_the_router_writes() -> None:
    haiku = Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5", 1024, "none")
    market = Market(Catalogue.load(), AT)
    for score in (0.1234, -0.05, 0.0):
        route = choose((haiku,), Signals(Complexity(score, "it is a test"), load=Load(100)), market)
        assert gain_in(route.reason) == pytest.approx(score, abs=5e-4)
    assert gain_in("copied sentences contain the answer with 99%") is None


def test_a_rating_counts_for_the_tier_that_answered() -> None:
    one = receipt(1, event("small", "plain (a strong model gains 0.100): any model"))
    asked, ratings = read_ratings([one], {"r1": -1})
    assert asked == [Asked("r1", 0.1, "small", 5)]
    assert ratings == [Rating("r1", 0.1, "small", right=False)]
    assert read_ratings([one], {})[1] == []


@pytest.mark.parametrize("simulated", ["", SIMULATED])
def test_an_escalation_counts_against_the_tier_that_failed_its_check(simulated: str) -> None:
    first = event("small", f"{simulated}plain (a strong model gains 0.100): any model", 7)
    escalated = receipt(2, first, event("large", f"{simulated}escalated from m: its answer failed the check", 90))
    asked, ratings = read_ratings([escalated], {"r2": 1})
    assert asked == [Asked("r2", 0.1, "small", 7)]
    assert ratings == [Rating("r2", 0.1, "small", right=False), Rating("r2", 0.1, "large", right=True)]


def test_what_the_score_did_not_decide_is_left_out() -> None:
    copied = receipt(3, event("extractive", "copied sentences contain the answer with 99%", 0))
    wanted = receipt(4, event("large", "the caller asks for large"))
    classified = receipt(
        5,
        event(None, "how hard it is", kind="classify"),
        event("large", "m calls it hard (a strong model gains 0.500)"),
    )
    said = {it.id: 1 for it in (copied, wanted, classified)}
    assert read_ratings([copied, wanted, classified], said) == ([], [])


def test_without_ratings_a_tier_is_what_it_is_expected_to_be() -> None:
    assert fit_line([], "small") == Line()
    assert right_at(0.3, "small") == pytest.approx(0.6)
    assert right_at(0.3, "medium") == pytest.approx(0.75)
    assert right_at(0.3, "large") == pytest.approx(0.9)


def test_few_ratings_move_little_and_many_move_all_the_way() -> None:
    angry = [Rating(str(n), 0.1, "large", right=False) for n in range(400)]
    few, many = (right_at(0.1, "large", fit_line(angry[:count], "large")) for count in (2, 400))
    assert 0.8 < few < 0.9
    assert many < 0.1


def test_a_small_tier_that_does_as_well_gets_more_questions() -> None:
    found = learn(*drawn(800, small=0.95, large=0.95), FLOORS)
    assert found.better
    assert found.rungs == ("small", "large")
    assert found.best.pico < found.now.pico
    assert found.best.shares[0] > 0.9
    assert found.loss[1] < found.loss[0]


def test_a_small_tier_that_fails_gets_fewer() -> None:
    found = learn(*drawn(800, small=0.1, large=0.95), FLOORS)
    assert found.better
    hard = [at / 100 for at in range(25, 40)]
    assert all(score >= found.best.medium for score in hard)
    assert found.best.quality > found.now.quality - 1e-9 or found.best.quality >= 0.95 * 0.9
    assert found.best.medium == found.best.large


def test_few_ratings_as_expected_change_nothing_where_the_floors_in_force_keep_what_is_wanted() -> None:
    chance, asked, ratings = random.Random(5), [], []
    for number in range(300):
        score, rung = chance.random() * 0.4, chance.choice(RUNGS)
        asked.append(Asked(str(number), score, rung, PRICES[rung]))
        ratings.append(Rating(str(number), score, rung, chance.random() < right_at(score, rung)))
    assert not learn(asked, ratings, FLOORS, wanted=0.9).better


def test_thresholds_keep_the_quality_that_is_wanted_where_three_tiers_are_known() -> None:
    chance, asked, ratings = random.Random(6), [], []
    rights: dict[Rung, float] = {"small": 0.5, "medium": 0.8, "large": 0.95}
    for number in range(1200):
        score, rung = chance.random() * 0.4, chance.choice(RUNGS)
        asked.append(Asked(str(number), score, rung, PRICES[rung]))
        ratings.append(Rating(str(number), score, rung, chance.random() < rights[rung]))
    cheap, dear = (learn(asked, ratings, FLOORS, wanted=wanted).best for wanted in (0.8, 0.98))
    assert cheap.pico < dear.pico
    assert cheap.quality < dear.quality
    assert cheap.medium <= cheap.large
    assert sum(dear.shares) == pytest.approx(1)


@pytest.mark.parametrize(("small", "large"), [(0, 0), (FEWEST * 2, FEWEST_EACH - 1), (FEWEST_EACH, FEWEST_EACH)])
def test_too_few_ratings_are_refused_with_what_is_missing(small: int, large: int) -> None:
    rungs = [*TWO[:1] * small, *TWO[1:] * large]
    ratings = [Rating(str(n), 0.1, rung, right=True) for n, rung in enumerate(rungs)]
    with pytest.raises(ConfigError, match=f"small {small}, medium 0, large {large}.*at least {FEWEST}"):
        learn([], ratings, FLOORS)


def test_a_tier_without_a_known_cost_cannot_be_weighed() -> None:
    asked, ratings = drawn(200, small=0.9, large=0.9)
    asked = [replace(one, pico=None) if one.rung == "large" else one for one in asked]
    with pytest.raises(ConfigError, match="large tier has a known cost"):
        learn(asked, ratings, FLOORS)


def test_better_is_said_against_the_floors_in_force() -> None:
    """Ratings that are far from what was shipped bring nothing to somebody whose floors already follow them."""
    asked, ratings = drawn(800, small=0.95, large=0.95)
    best = learn(asked, ratings, FLOORS).best
    again = learn(asked, ratings, (best.medium, best.large))
    assert again.gained[0] > 0
    assert again.best == again.now
    assert not again.better


def test_ratings_as_expected_still_tell_that_the_floors_in_force_are_too_dear() -> None:
    chance, asked, ratings = random.Random(5), [], []
    for number in range(1200):
        score, rung = chance.random() * 0.4, chance.choice(TWO)
        asked.append(Asked(str(number), score, rung, PRICES[rung]))
        ratings.append(Rating(str(number), score, rung, chance.random() < right_at(score, rung)))
    found = learn(asked, ratings, (0.0, 0.0))
    assert found.gained[0] <= 0
    assert found.best.pico < found.now.pico
    assert found.better


def test_floors_in_force_that_clearly_lose_the_wanted_quality_are_replaced_by_dearer_ones() -> None:
    found = learn(*drawn(800, small=0.1, large=0.95), (0.4, 0.4))
    assert found.now.spare[1] < 0
    assert found.best.pico > found.now.pico
    assert found.better


def test_costs_are_averaged_without_losing_a_pico() -> None:
    """A float has 53 bits: beyond them its neighbours are further apart than a pico."""
    asked, ratings = drawn(200, small=0.9, large=0.9)
    dear = 2**60 + 1
    asked = [replace(one, pico=dear) for one in asked]
    assert learn(asked, ratings, FLOORS).now.pico == dear
