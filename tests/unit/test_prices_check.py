from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec

import pytest

from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.prices.check import (
    SOURCES,
    Key,
    Source,
    check_prices,
    check_to_json,
    compare_tables,
    litellm_row,
    our_table,
)
from ragkit.prices.listing import Choice, Shape, chosen, compare, listed, parse_shape, per_unit
from ragkit.reports.table import text_table

AT = datetime(2026, 11, 24, tzinfo=UTC)
CATALOGUE = Catalogue.load()


def key(name: str, lane: str = "standard") -> Key:
    return ("a", name, lane, 0)


def test_tables_are_compared_price_by_price() -> None:
    ours = {key("input"): Decimal(2), key("output"): Decimal(10), key("cache_read"): Decimal("0.1")}
    found = compare_tables("litellm", ours, {key("input"): Decimal("2.0"), key("output"): Decimal(12)})
    assert (found.agreed, found.only_ours) == (1, (key("cache_read"),))
    assert [(it.key, it.ours, it.theirs, it.why) for it in found.unexplained] == [
        (key("output"), Decimal(10), Decimal(12), "")
    ]
    shown = check_to_json(found)
    assert (shown["agreed"], shown["unexplained"]) == (1, 1)
    assert shown["differences"][0]["theirs"] == "12"


def test_known_causes_of_a_difference_are_named() -> None:
    ours = {key("cache_read", "batch"): Decimal("0.125"), key("cache_read", "flex"): Decimal("0.05")}
    theirs = {
        key("cache_read", "batch"): Decimal("0.13"),
        key("cache_read", "flex"): Decimal("0.10"),
        key("cache_read"): Decimal("0.10"),
    }
    rounded, plain = compare_tables("litellm", ours, theirs).differences
    assert "rounds it" in rounded.why
    assert "without the lane's factor" in plain.why


def test_our_table_is_flat_and_exact() -> None:
    ours = our_table(CATALOGUE, AT)
    assert ours["claude-haiku-5-5", "cache_read", "batch", 100_000] == Decimal("0.025")
    assert ours["rerank-v4.0-pro", "search", "standard", 0] == Decimal("2.5")
    assert ours["gpt-6-luna", "cache_write_12h", "priority", 272_000] == Decimal(1)


@pytest.mark.parametrize("source", SOURCES)
def test_the_packaged_table_agrees_with_others_that_are_installed(source: Source) -> None:
    if find_spec(source.replace("-", "_")) is None:
        with pytest.raises(ConfigError, match=f"pip install {source}"):
            check_prices(CATALOGUE, AT, source)
        return
    found = check_prices(CATALOGUE, AT, source)
    assert found.agreed > 150
    assert not found.unexplained


def test_another_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="'made-up' is no price table known here: write litellm or genai-prices"):
        check_prices(CATALOGUE, AT, "made-up")


def test_a_list_can_be_narrowed() -> None:
    small = chosen(CATALOGUE, Choice(AT, provider="anthropic", tier="small"))
    assert [spec.id for spec in small] == ["claude-haiku-5-5", "claude-haiku-4-5"]
    assert {spec.kind for spec in chosen(CATALOGUE, Choice(AT, kind="rerank"))} == {"rerank"}
    ((spec, bands),) = listed(CATALOGUE, Choice(AT, model="claude-haiku-5-5", lane="batch"))
    assert (spec.id, per_unit(bands[1])["input"]) == ("claude-haiku-5-5", "0.25")
    assert listed(CATALOGUE, Choice(AT, model="claude-haiku-5-5", lane="flex")) == ()
    with pytest.raises(ConfigError, match="no model in the price table is like that"):
        chosen(CATALOGUE, Choice(AT, provider="nobody"))


def test_models_are_compared_in_their_own_tokens_cheapest_first() -> None:
    offers = compare(CATALOGUE, Shape(20_000, 400, 18_000), Choice(AT, provider="anthropic"))
    assert [offer.pico for offer in offers] == sorted(offer.pico for offer in offers)
    cheapest = offers[0]
    assert (cheapest.spec.id, cheapest.usage.prompt, cheapest.usage.cache_read) == ("claude-haiku-5-5", 28_000, 25_200)
    alike = compare(CATALOGUE, Shape(20_000, 400, 18_000), Choice(AT, provider="anthropic"), same_tokens=True)
    assert {offer.usage.prompt for offer in alike} == {20_000}


def test_a_model_too_small_for_the_shape_is_left_out() -> None:
    offers = compare(CATALOGUE, Shape(300_000, 100), Choice(AT, provider="anthropic"))
    assert "claude-haiku-4-5" not in {offer.spec.id for offer in offers}
    assert "claude-opus-5-5" in {offer.spec.id for offer in offers}


def test_shapes_are_read_or_refused() -> None:
    assert parse_shape("20_000:400:18,000") == Shape(20_000, 400, 18_000)
    assert parse_shape("5:6") == Shape(5, 6, 0)
    for wrong in ("", "5", "5:6:7:8", "a:b", "-5:6", "5:"):
        with pytest.raises(ConfigError, match="no shape of a request"):
            parse_shape(wrong)
    with pytest.raises(ConfigError, match="CACHED is a part of INPUT"):
        parse_shape("5:6:7")


def test_tables_line_up_with_numbers_to_the_right() -> None:
    assert text_table(("model", "in"), [("a", "0.1"), ("bcd", "10")]).splitlines() == [
        "model   in",
        "a      0.1",
        "bcd     10",
    ]


def test_a_row_of_litellm_s_table_is_flattened() -> None:
    row = {
        "input_cost_per_token": Decimal("1.25e-07"),
        "cache_creation_input_token_cost_above_12hr_above_272k_tokens_batches": Decimal("2.5e-07"),
        "cache_read_input_token_cost_flex": Decimal("5e-09"),
        "output_cost_per_token": 0,
        "input_cost_per_query": Decimal("0.002"),
    }
    assert dict(litellm_row("a", row)) == {
        key("search"): 2,
        key("input"): Decimal("0.125"),
        ("a", "cache_write_12h", "batch", 272_000): Decimal("0.25"),
        key("cache_read", "flex"): Decimal("0.005"),
    }
