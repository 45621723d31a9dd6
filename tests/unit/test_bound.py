from datetime import UTC, datetime

import pytest

from ragkit.bound import (
    COMPLAINT_TOKENS,
    HIDDEN_TOKENS,
    Call,
    Plan,
    Side,
    largest_output,
    rerank_usage,
    search_units,
    worst_call,
    worst_case,
)
from ragkit.errors import UnpricedModel
from ragkit.models import Catalogue
from ragkit.money import from_usd
from ragkit.nouns import Usage

AT = datetime(2026, 11, 24, tzinfo=UTC)
CATALOGUE = Catalogue.load()


def bound(call: Call) -> int:
    return worst_call(call, CATALOGUE, AT)


def test_a_cold_write_for_an_hour_is_held_at_its_own_price() -> None:
    # 20,000 and what the provider adds are written at $8, 1,000 after it at $4, 1,000 out at $20 a million.
    call = Call("claude-opus-5-5", 1_000, 1_000, prefix=20_000, ttl="1h")
    assert bound(call) == from_usd("0.184") + HIDDEN_TOKENS * from_usd("0.000008")


@pytest.mark.parametrize(("ttl", "price"), [(None, "4"), ("5m", "5"), ("1h", "8")])
def test_the_prefix_is_taken_at_the_price_of_its_lifetime(ttl: str | None, price: str) -> None:
    call = Call("claude-opus-5-5", 0, 0, prefix=1_000_000 - HIDDEN_TOKENS, ttl=ttl)  # type: ignore[arg-type]
    assert bound(call) == from_usd(price)


def test_a_gateway_may_write_all_of_a_prompt_to_a_cache_unasked() -> None:
    assert bound(Call("gpt-6-luna", 9_600, 100)) == from_usd("0.00105")  # 10,000 x $0.10 + 100 x $0.50
    assert bound(Call("gpt-6-luna", 9_600, 100, unasked=True)) == from_usd("0.0013")  # 10,000 x $0.125 + 100 x $0.50
    assert bound(Call("gpt-5.5", 9_600, 100, unasked=True)) == from_usd("0.053")  # writes are free there


def test_a_prompt_that_can_reach_the_next_band_is_held_at_its_price() -> None:
    below = Call("claude-haiku-5-5", 100_000 - HIDDEN_TOKENS, 100)
    above = Call("claude-haiku-5-5", 100_001 - HIDDEN_TOKENS, 100)
    assert bound(below) == from_usd("0.01005")
    assert bound(above) == from_usd("0.0502505")


def test_lane_and_region_count() -> None:
    assert bound(Call("claude-haiku-5-5", 9_600, 1_000, lane="batch", region="us")) == from_usd("0.000825")


def test_local_work_holds_nothing() -> None:
    assert bound(Call(None, 100_000, 10_000)) == 0
    assert worst_case(Plan((Call(None, 100, 100),), attempts=3, repairs=1), CATALOGUE, AT) == 0


def test_an_unpriced_model_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnpricedModel):
        worst_case(Plan((Call("claude-haiku-9", 100, 100),)), CATALOGUE, AT)
    with pytest.raises(UnpricedModel):
        worst_case(Plan((), (Side("rerank-v9", Usage(searches=1)),)), CATALOGUE, AT)


def test_every_permitted_attempt_repair_and_side_step_is_in_the_whole() -> None:
    small, large = Call("claude-haiku-5-5", 2_000, 500), Call("claude-opus-5-5", 2_000, 500)
    sides = (
        Side("text-embedding-3-small", Usage(input=50)),
        Side("rerank-v4.0-pro", Usage(searches=2)),
        Side("gpt-6-luna", Usage(input=100, output=10)),
    )
    longer = 2_000 + 500 + COMPLAINT_TOKENS
    repairs = [Call("claude-haiku-5-5", longer, 500), Call("claude-opus-5-5", longer, 500)]
    beside = from_usd("0.000001") + from_usd("0.005") + from_usd("0.000015")
    whole = worst_case(Plan((small, large), sides, attempts=2, repairs=1), CATALOGUE, AT)
    assert whole == 2 * (sum(map(bound, (small, large, *repairs))) + beside)


def test_the_output_shrinks_to_what_is_left() -> None:
    call = Call("claude-opus-5-5", 2_100, 1_000, prefix=0)
    prompt = from_usd("0.01")  # 2,500 x $4 a million
    for left, longest in (("1", 1_000), ("0.03", 1_000), ("0.02", 500), ("0.010019", 0), ("0.01", 0), ("0.001", 0)):
        found = largest_output(call, from_usd(left), CATALOGUE, AT)
        assert found == longest
        assert not found or prompt + found * from_usd("0.00002") <= from_usd(left)
    assert largest_output(Call(None, 10, 77), 0, CATALOGUE, AT) == 77


def test_search_units_count_documents_by_the_hundred_and_long_ones_twice() -> None:
    assert search_units(20, []) == 1
    assert search_units(20, [300] * 100) == 1
    assert search_units(20, [300] * 101) == 2
    assert search_units(20, [481] * 60) == 2
    assert search_units(20, [480] * 60) == 1


def test_a_reranker_is_billed_by_searches_or_by_tokens() -> None:
    documents = [400] * 50
    by_search = rerank_usage("rerank-v4.0-pro", 20, documents, CATALOGUE, AT)
    by_token = rerank_usage("rerank-3", 20, documents, CATALOGUE, AT)
    assert (by_search, by_token) == (Usage(searches=1), Usage(input=21_000))
