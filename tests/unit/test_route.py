"""Which model is chosen, and why, as a pure function of signals and prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from ragkit.errors import NoRoute
from ragkit.models import Catalogue
from ragkit.nouns import Model, Pressure, Usage
from ragkit.route import RANKS, Policy, Session, Signals, choose, decide, follow
from ragkit.routing.complexity import Complexity
from ragkit.routing.cost import THINKING_TOKENS, Load, Market, Warmth, thinking_tokens

MARKET = Market(Catalogue.load(), datetime(2026, 11, 23, tzinfo=UTC))
EXTRACTIVE = Model("extractive", "extractive", "extractive")
LOCAL = Model("local-8b", "vllm", "local")
HAIKU = Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5", 1024, "none")
SONNET = Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5", 1024, "low")
OPUS = Model("claude-opus-5-5", "anthropic", "large", "claude-opus-5-5", 1024, "medium")
LADDER = (EXTRACTIVE, HAIKU, SONNET, OPUS)
EASY, MEDIUM, HARD = (Complexity(score, "the question is a test") for score in (0.05, 0.25, 0.4))
LEARNT = Load(outputs={model.id: 400 for model in LADDER})


def warm_prefix(model: Model, warm: float, uses: float = 1.0) -> Warmth:
    return Warmth(model.id, model.effort, warm, 20_000, "5m", uses)


@pytest.mark.parametrize(("complexity", "model"), [(EASY, HAIKU), (MEDIUM, SONNET), (HARD, OPUS)])
def test_the_cheapest_model_that_is_good_enough_answers(complexity: Complexity, model: Model) -> None:
    route = choose(LADDER, Signals(complexity, load=Load(2_000)), MARKET)
    assert route.model.id == model.id
    assert complexity.reason in route.reason
    assert route.expected_pico


def test_a_warm_large_model_beats_a_cold_medium_one() -> None:
    size = replace(LEARNT, prompt=round(22_500 / 1.4))
    warmth = tuple(replace(warm_prefix(it, warm), held=20_000) for it, warm in ((OPUS, 1.0), (SONNET, 0.0)))
    found = decide(LADDER, Signals(MEDIUM, load=size, warmth=warmth), MARKET)
    assert found.route.model == OPUS
    assert "warm" in found.route.reason
    costs = {offer.model: (offer.pico or 0) / 1e12 for offer in found.offers}
    assert costs[OPUS] == pytest.approx(0.0220, abs=1e-5)
    assert costs[SONNET] == pytest.approx(0.0490, abs=1e-4)
    easy = Signals(EASY, load=size, warmth=warmth)
    assert choose(LADDER, easy, MARKET).model == HAIKU


def test_a_warm_prefix_that_the_question_does_not_need_is_no_reason_to_stay() -> None:
    size = replace(LEARNT, prompt=round(2_500 / 1.4))
    warmth = (warm_prefix(OPUS, 1.0), warm_prefix(SONNET, 0.0))
    assert choose(LADDER, Signals(MEDIUM, load=size, warmth=warmth), MARKET).model == SONNET


def test_a_write_that_many_questions_share_brings_the_cold_model_back() -> None:
    size = Load(round(2_500 / 1.4) + 20_000, outputs=LEARNT.outputs)
    for uses, model in ((1.0, OPUS), (20.0, SONNET)):
        warmth = tuple(replace(warm_prefix(it, warm, uses), held=20_000) for it, warm in ((OPUS, 1.0), (SONNET, 0.0)))
        assert choose(LADDER, Signals(MEDIUM, load=size, warmth=warmth), MARKET).model.id == model.id


@pytest.mark.parametrize("warm", [0.0, 0.3, 1.0])
def test_caching_never_lowers_a_tier(warm: float) -> None:
    for models in product((0.0, warm), repeat=3):
        warmth = tuple(warm_prefix(model, chance, 50) for model, chance in zip(LADDER[1:], models, strict=True))
        for complexity, least in ((MEDIUM, "medium"), (HARD, "large")):
            route = choose(LADDER, Signals(complexity, load=Load(30_000), warmth=warmth), MARKET)
            assert RANKS.index(route.model.tier) >= RANKS.index(least)


def test_a_tier_that_caching_raised_thinks_no_more_than_the_question_needs_unless_that_prefix_is_the_warm_one() -> None:
    plain = decide((OPUS,), Signals(EASY, load=Load(2_000)), MARKET)
    assert plain.route.model == replace(OPUS, effort="none")
    warm = decide(
        (OPUS,), Signals(EASY, load=Load(30_000), warmth=(replace(warm_prefix(OPUS, 1.0), held=20_000),)), MARKET
    )
    assert warm.route.model == OPUS


def test_thinking_less_is_part_of_the_price_and_of_the_reason() -> None:
    found = decide((SONNET, OPUS), Signals(EASY, load=Load(2_000)), MARKET)
    costs = {(offer.model.id, offer.model.effort): offer.pico for offer in found.offers}
    assert found.route.model == replace(SONNET, effort="none")
    assert set(costs) == {(SONNET.id, "none"), (OPUS.id, "none")}
    cached = (replace(warm_prefix(OPUS, 0.0), tokens=0),)
    offers = decide((SONNET, OPUS), Signals(EASY, load=Load(2_000), warmth=cached), MARKET).offers
    costs = {(offer.model.id, offer.model.effort): offer.pico for offer in offers}
    least = thinking_tokens(replace(OPUS, effort="none"), MARKET.catalogue.model(OPUS.id))
    price = MARKET.catalogue.cost(Usage(output=THINKING_TOKENS["medium"] - least), OPUS.id, at=MARKET.at)
    assert (costs[OPUS.id, "medium"] or 0) - (costs[OPUS.id, "none"] or 0) == price.pico > 0
    hard = decide((SONNET, OPUS), Signals(HARD, load=Load(2_000)), MARKET).route
    assert (hard.model.effort, "at medium effort" in hard.reason) == ("medium", True)
    assert "at low effort" in choose((SONNET,), Signals(MEDIUM, load=Load(2_000)), MARKET).reason


def test_copying_is_free_and_needs_its_confidence() -> None:
    assert choose(LADDER, Signals(HARD, copied=0.95), MARKET).model == EXTRACTIVE
    route = choose(LADDER, Signals(EASY, copied=0.94), MARKET)
    assert route.model == HAIKU
    assert "94%" in route.reason
    assert choose((EXTRACTIVE,), Signals(HARD, copied=0.2), MARKET).model == EXTRACTIVE


@pytest.mark.parametrize(
    ("pressure", "model"), [("none", OPUS), ("warn", OPUS), ("lower", HAIKU), ("free", EXTRACTIVE)]
)
def test_a_tight_budget_lowers_the_tier_and_says_so(pressure: Pressure, model: Model) -> None:
    route = choose(LADDER, Signals(HARD, copied=0.5, pressure=pressure, load=Load(2_000)), MARKET)
    assert route.model.id == model.id
    assert ("tight" in route.reason) == (model != OPUS)
    assert all(it.tier in ("extractive", "small") for it in route.fallbacks) or model == OPUS


def test_a_model_of_ones_own_answers_what_is_easy_and_all_that_is_free() -> None:
    ladder = (EXTRACTIVE, LOCAL, HAIKU, SONNET, OPUS)
    assert choose(ladder, Signals(EASY), MARKET).model == LOCAL
    assert choose(ladder, Signals(HARD), MARKET).model == OPUS
    assert choose(ladder, Signals(HARD, pressure="free"), MARKET).model == LOCAL


@pytest.mark.parametrize("wanted", ["large", "claude-opus-5-5", "anthropic/claude-opus-5-5"])
def test_a_caller_may_ask_for_a_tier_or_a_model(wanted: str) -> None:
    route = choose(LADDER, Signals(EASY, copied=0.99, wanted=wanted, load=Load(2_000)), MARKET)
    assert route.model == OPUS
    assert wanted in route.reason
    lowered = choose(LADDER, Signals(EASY, wanted=wanted, pressure="lower"), MARKET)
    assert lowered.model == HAIKU
    assert "tight" in lowered.reason


def test_asking_for_what_is_not_permitted_names_what_is() -> None:
    with pytest.raises(NoRoute, match="claude-haiku-5-5"):
        choose(LADDER, Signals(wanted="gpt-9"), MARKET)


def test_a_model_without_a_price_is_never_taken_for_free() -> None:
    unpriced = Model("mystery", "anthropic", "medium", "mystery-1")
    route = choose((unpriced, OPUS), Signals(MEDIUM), MARKET)
    assert route.model.id == OPUS.id
    assert "mystery" in route.reason
    assert unpriced not in route.fallbacks
    with pytest.raises(NoRoute, match="mystery"):
        choose((unpriced,), Signals(MEDIUM), MARKET)


def test_what_stands_by_is_good_enough_first() -> None:
    route = choose(LADDER, Signals(MEDIUM, load=Load(2_000)), MARKET)
    assert [model.tier for model in route.fallbacks] == ["large", "small"]


def test_without_routing_the_best_model_answers() -> None:
    route = choose(LADDER, Signals(EASY), MARKET, Policy(enabled=False))
    assert route.model.id == OPUS.id
    assert "switched off" in route.reason


def test_no_session_pays_more_for_switching_than_its_share() -> None:
    policy, session, paid = Policy(switching=0.1), Session(OPUS.id), 0
    for turn in range(40):
        warmth = (
            replace(warm_prefix(OPUS, 1.0 if turn % 2 else 0.9), held=20_000),
            replace(warm_prefix(SONNET, 0.0 if turn % 3 else 0.5, uses=40), held=20_000),
        )
        signals = Signals(MEDIUM, load=Load(16_000 + 500 * turn), warmth=warmth, session=session)
        found = decide(LADDER, signals, MARKET, policy)
        paid += min(o.alone_pico for o in found.offers if o.model.id == found.route.model.id)
        session = follow(session, found)
        assert session.switched_pico <= 0.1 * session.stayed_pico
        assert paid <= 1.1 * session.stayed_pico


def test_a_conversation_that_gets_harder_leaves_its_model() -> None:
    signals = Signals(HARD, session=Session(HAIKU.id), load=Load(2_000))
    assert choose(LADDER, signals, MARKET, Policy(switching=0)).model.id == OPUS.id
