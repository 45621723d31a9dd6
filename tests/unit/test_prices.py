"""What calls cost, against amounts worked out by hand from the providers' price lists, in dollars to the last digit."""

from datetime import UTC, datetime

import pytest

from ragkit.errors import ConfigError, UnpricedModel
from ragkit.models import Catalogue
from ragkit.money import from_usd
from ragkit.nouns import Lane, Usage

TODAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATALOGUE = Catalogue.load()


def usd(model: str, usage: Usage, lane: Lane = "standard", at: datetime = TODAY, region: str | None = None) -> int:
    return CATALOGUE.cost(usage, model, at=at, lane=lane, region=region).pico


STANDARD = [
    # Anthropic: one class after the other, a million tokens each unless the band forbids it.
    ("claude-haiku-5-5", Usage(input=100_000), "0.01"),
    ("claude-haiku-5-5", Usage(output=1_000_000), "0.50"),
    ("claude-haiku-5-5", Usage(cache_read=100_000), "0.001"),
    ("claude-haiku-5-5", Usage(cache_write_5m=100_000), "0.0125"),
    ("claude-haiku-5-5", Usage(cache_write_1h=100_000), "0.02"),
    ("claude-haiku-5-5", Usage(input=1), "0.0000001"),
    ("claude-haiku-5-5", Usage(cache_read=1), "0.00000001"),
    ("claude-haiku-5-5", Usage(input=2_000, cache_read=20_000, output=300), "0.00055"),
    ("claude-sonnet-5-5", Usage(input=1_000_000), "2"),
    ("claude-sonnet-5-5", Usage(output=1_000_000), "10"),
    ("claude-sonnet-5-5", Usage(cache_read=1_000_000), "0.10"),
    ("claude-sonnet-5-5", Usage(cache_write_5m=1_000_000), "2.50"),
    ("claude-sonnet-5-5", Usage(cache_write_1h=1_000_000), "4"),
    ("claude-opus-5-5", Usage(input=1_000_000), "4"),
    ("claude-opus-5-5", Usage(output=1_000_000), "20"),
    ("claude-opus-5-5", Usage(cache_read=1_000_000), "0.20"),
    ("claude-opus-5-5", Usage(cache_write_5m=1_000_000), "5"),
    ("claude-opus-5-5", Usage(cache_write_1h=1_000_000), "8"),
    ("claude-fable-5-1", Usage(input=1_000, cache_read=1_000, output=1_000), "0.06025"),
    ("claude-opus-5", Usage(input=1_000, cache_read=1_000, cache_write_5m=1_000, output=1_000), "0.03675"),
    ("claude-opus-4-8", Usage(input=1_000, cache_write_1h=1_000, output=1_000), "0.04"),
    ("claude-opus-4-7", Usage(input=1_000_000, output=1_000_000), "30"),
    ("claude-opus-4-7", Usage(cache_read=1_000_000, cache_write_5m=1_000_000, cache_write_1h=1_000_000), "16.75"),
    ("claude-sonnet-5", Usage(cache_read=1_000_000), "0.20"),
    ("claude-sonnet-4-6", Usage(input=1_000_000, output=1_000_000), "18"),
    ("claude-sonnet-4-6", Usage(cache_read=1_000_000, cache_write_5m=1_000_000, cache_write_1h=1_000_000), "10.05"),
    ("claude-haiku-4-5", Usage(input=1_000_000, output=1_000_000), "6"),
    ("claude-haiku-4-5", Usage(cache_read=1_000_000, cache_write_5m=1_000_000, cache_write_1h=1_000_000), "3.35"),
    # The case of a warm large model against a cold medium one: 20,000 of prefix, 2,500 after it, 400 out.
    ("claude-opus-5-5", Usage(input=2_500, cache_read=20_000, output=400), "0.022"),
    ("claude-sonnet-5-5", Usage(input=22_500, output=400), "0.049"),
    ("claude-sonnet-5-5", Usage(input=2_500, cache_write_5m=20_000, output=400), "0.059"),
    ("claude-sonnet-5-5", Usage(input=2_500, cache_read=20_000, output=400), "0.011"),
    ("claude-haiku-5-5", Usage(input=2_500, cache_write_5m=20_000, output=400), "0.00295"),
    # OpenAI
    ("gpt-6-luna", Usage(input=100_000, cache_read=100_000, output=1_000_000), "0.511"),
    ("gpt-6-luna", Usage(cache_write_30m=100_000, cache_write_12h=100_000), "0.0375"),
    ("gpt-6.1-terra", Usage(input=100_000, cache_read=100_000, cache_write_30m=50_000, output=1_000), "0.1725"),
    ("gpt-6.1-sol", Usage(input=10_000, cache_read=100_000, output=1_000), "0.04"),
    ("gpt-6-sol", Usage(input=10_000, cache_read=100_000, output=1_000), "0.05"),
    ("gpt-6-astra", Usage(input=10_000, cache_write_12h=10_000, output=1_000), "0.40"),
    ("gpt-5.6-luna", Usage(input=10_000, output=1_000), "0.0032"),
    ("gpt-5.6-terra", Usage(input=10_000, output=1_000), "0.032"),
    ("gpt-5.6-sol", Usage(input=10_000, cache_write_30m=1_000, output=1_000), "0.065"),
    ("gpt-5.5", Usage(input=10_000, cache_read=10_000, cache_write_30m=10_000, output=1_000), "0.085"),
    ("gpt-5.4", Usage(input=10_000, cache_read=10_000, output=1_000), "0.0425"),
    ("gpt-5.4-mini", Usage(input=10_000, cache_read=10_000, output=1_000), "0.01275"),
    ("gpt-5.4-nano", Usage(input=10_000, cache_read=10_000, output=1_000), "0.00345"),
    ("gpt-5", Usage(input=10_000, cache_read=10_000, output=1_000), "0.02375"),
    ("gpt-5-mini", Usage(input=10_000, cache_read=10_000, output=1_000), "0.00475"),
    ("gpt-5-nano", Usage(input=10_000, cache_read=10_000, output=1_000), "0.00095"),
    ("gpt-4o-mini", Usage(input=10_000, cache_read=10_000, output=1_000), "0.00285"),
    # Gemini: thinking is output
    ("gemini-2.5-flash-lite", Usage(input=10_000, cache_read=10_000, output=1_000, reasoning=900), "0.0015"),
    ("gemini-3.8-flash", Usage(input=10_000, cache_read=10_000, output=1_000), "0.012"),
    ("gemini-3.5-flash", Usage(input=10_000, cache_read=10_000, output=1_000), "0.0255"),
    ("gemini-2.5-pro", Usage(input=10_000, cache_read=10_000, output=1_000), "0.02375"),
    ("gemini-3.1-pro-preview", Usage(input=10_000, cache_read=10_000, output=1_000), "0.034"),
    # Embedding and reranking
    ("text-embedding-3-small", Usage(input=12_345), "0.0002469"),
    ("text-embedding-3-large", Usage(input=1_000_000), "0.13"),
    ("gemini-embedding-001", Usage(input=1_000_000), "0.15"),
    ("embed-v4.0", Usage(input=1_000_000), "0.12"),
    ("voyage-4-lite", Usage(input=1), "0.00000002"),
    ("rerank-v3.5", Usage(searches=3), "0.006"),
    ("rerank-v4.0-pro", Usage(searches=1), "0.0025"),
    ("rerank-v4.0-fast", Usage(searches=1_000), "2"),
    ("rerank-v5.0-pro", Usage(input=25_000), "0.00125"),
    ("rerank-v5.0-fast", Usage(input=25_000), "0.0005"),
    ("rerank-3", Usage(input=25_000), "0.00125"),
    ("rerank-2.5-lite", Usage(input=25_000), "0.0005"),
]


@pytest.mark.parametrize(("model", "usage", "expected"), STANDARD)
def test_each_class_has_its_own_price(model: str, usage: Usage, expected: str) -> None:
    assert usd(model, usage) == from_usd(expected)


BANDS = [
    ("claude-haiku-5-5", Usage(input=100_000, output=1_000), "0.0105"),
    ("claude-haiku-5-5", Usage(input=100_001, output=1_000), "0.0525005"),
    ("claude-haiku-5-5", Usage(input=1, cache_read=60_000, cache_write_5m=39_999, output=1_000), "0.006099975"),
    ("claude-haiku-5-5", Usage(input=1, cache_read=60_000, cache_write_5m=40_000, output=1_000), "0.0305005"),
    ("claude-haiku-5-5", Usage(input=1, cache_write_1h=100_000), "0.1000005"),
    ("gpt-6-luna", Usage(input=272_000, output=1_000), "0.0277"),
    ("gpt-6-luna", Usage(input=272_001, output=1_000), "0.0551502"),
    ("gpt-6-sol", Usage(input=72_001, cache_read=100_000, cache_write_30m=100_000, output=1_000), "0.843004"),
    ("gpt-6-sol", Usage(input=1, cache_write_12h=272_000, output=1_000), "2.735004"),
    ("gpt-5.5", Usage(input=272_001, cache_read=10_000, output=1_000), "2.77501"),
    ("gpt-5.4", Usage(input=272_001, output=1_000), "1.382505"),
    ("gpt-5.4-mini", Usage(input=272_001), "0.20400075"),
    ("gemini-2.5-pro", Usage(input=200_000, output=1_000), "0.26"),
    ("gemini-2.5-pro", Usage(input=200_001, output=1_000), "0.5150025"),
    ("gemini-2.5-pro", Usage(input=1, cache_read=200_000, output=1_000), "0.0650025"),
    ("gemini-3.1-pro-preview", Usage(input=200_001, output=1_000), "0.818004"),
]


@pytest.mark.parametrize(("model", "usage", "expected"), BANDS)
def test_a_long_prompt_reprices_the_whole_request(model: str, usage: Usage, expected: str) -> None:
    assert usd(model, usage) == from_usd(expected)


LANES: list[tuple[str, Lane, Usage, str]] = [
    ("claude-sonnet-5-5", "batch", Usage(input=1_000, cache_write_1h=10_000, output=500), "0.0235"),
    ("claude-sonnet-5-5", "batch", Usage(input=1_000, cache_read=10_000, cache_write_5m=1_000), "0.00275"),
    (
        "claude-haiku-5-5",
        "batch",
        Usage(input=1_000, cache_read=1_000, cache_write_5m=1_000, output=1_000),
        "0.0003675",
    ),
    ("claude-haiku-5-5", "batch", Usage(input=100_001, output=1_000), "0.02625025"),
    ("claude-opus-4-7", "batch", Usage(input=1_000, output=1_000), "0.015"),
    ("claude-opus-5-5", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.0484"),
    ("gpt-6-luna", "batch", Usage(input=1_000, cache_read=1_000, cache_write_30m=1_000, output=1_000), "0.0003675"),
    ("gpt-6-luna", "flex", Usage(input=1_000, cache_read=1_000, cache_write_12h=1_000, output=1_000), "0.00043"),
    ("gpt-6-luna", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.00122"),
    ("gpt-6-sol", "batch", Usage(input=272_001, output=1_000), "0.551502"),
    ("gpt-6-sol", "flex", Usage(input=272_001, output=1_000), "0.551502"),
    ("gpt-6-sol", "priority", Usage(input=272_001, output=1_000), "2.206008"),
    ("gpt-5.5", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.08875"),
    ("gpt-5.4", "batch", Usage(input=1_000, cache_read=1_000, output=1_000), "0.008875"),
    ("gpt-5-mini", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.004095"),
    ("gpt-4o-mini", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.001375"),
    ("gemini-3.8-flash", "batch", Usage(input=1_000, cache_read=1_000, output=1_000), "0.0022875"),
    ("gemini-3.8-flash", "flex", Usage(input=1_000, output=1_000), "0.00225"),
    ("gemini-3.8-flash", "priority", Usage(input=1_000, cache_read=1_000, output=1_000), "0.008235"),
    # Gemini 2.5 does not halve cached reads in a batch.
    ("gemini-2.5-pro", "batch", Usage(input=1_000, cache_read=1_000, output=1_000), "0.00575"),
    ("gemini-2.5-pro", "batch", Usage(input=200_001, output=1_000), "0.25750125"),
    ("gemini-2.5-pro", "priority", Usage(input=200_001, output=1_000), "0.9270045"),
    ("text-embedding-3-large", "batch", Usage(input=1_000_000), "0.065"),
]


@pytest.mark.parametrize(("model", "lane", "usage", "expected"), LANES)
def test_a_lane_prices_every_class(model: str, lane: Lane, usage: Usage, expected: str) -> None:
    assert usd(model, usage, lane) == from_usd(expected)


DATES = [
    ("claude-sonnet-5-5", datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC), Usage(cache_read=1_000_000), "0.20"),
    ("claude-sonnet-5-5", datetime(2026, 10, 7, tzinfo=UTC), Usage(cache_read=1_000_000), "0.10"),
    ("gemini-4-argon", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), Usage(input=1_000, output=1_000), "0.012"),
    ("gemini-4-argon", datetime(2026, 12, 1, tzinfo=UTC), Usage(input=1_000, output=1_000), "0.024"),
    ("gemini-4-argon", datetime(2026, 12, 1, tzinfo=UTC), Usage(cache_read=1_000_000), "0.20"),
    ("gemini-3.8-flash", datetime(2027, 1, 1, tzinfo=UTC), Usage(input=1_000, output=1_000), "0.009"),
    ("gpt-5.6-sol", datetime(2026, 8, 20, tzinfo=UTC), Usage(input=1_000, output=1_000), "0.035"),
    ("gpt-5.6-sol", datetime(2026, 8, 21, tzinfo=UTC), Usage(input=1_000, output=1_000), "0.024"),
    ("claude-sonnet-4-6", datetime(2026, 3, 12, tzinfo=UTC), Usage(input=200_001), "1.200006"),
    ("claude-sonnet-4-6", datetime(2026, 3, 13, tzinfo=UTC), Usage(input=200_001), "0.600003"),
]


@pytest.mark.parametrize(("model", "at", "usage", "expected"), DATES)
def test_the_price_is_that_of_the_day(model: str, at: datetime, usage: Usage, expected: str) -> None:
    assert usd(model, usage, at=at) == from_usd(expected)


REGIONS: list[tuple[str, Lane, str, Usage, str]] = [
    ("claude-opus-5-5", "standard", "us", Usage(input=1_000, cache_read=1_000, output=1_000), "0.02662"),
    ("claude-haiku-5-5", "batch", "us", Usage(cache_read=1), "0.0000000055"),
    ("gpt-6-luna", "priority", "eu", Usage(input=1_000, output=1_000), "0.00132"),
    ("gpt-6-luna", "standard", "global", Usage(input=1_000, output=1_000), "0.0006"),
    ("gpt-6-luna", "standard", "US", Usage(input=1_000, output=1_000), "0.00066"),
    ("claude-haiku-4-5", "standard", "us", Usage(input=1_000), "0.001"),
]


@pytest.mark.parametrize(("model", "lane", "region", "usage", "expected"), REGIONS)
def test_a_region_prices_every_class(model: str, lane: Lane, region: str, usage: Usage, expected: str) -> None:
    assert usd(model, usage, lane, region=region) == from_usd(expected)


def test_cache_writes_are_counted_once() -> None:
    assert usd("claude-sonnet-4-6", Usage(input=3, cache_write_5m=12_304, output=550)) == from_usd("0.054399")


def test_uncached_written_and_read_tokens_do_not_overlap() -> None:
    assert usd("claude-sonnet-4-6", Usage(input=100, cache_write_5m=700, cache_read=200)) == from_usd("0.002985")


def test_reasoning_is_part_of_the_output_and_not_billed_again() -> None:
    plain, thinking = Usage(output=500), Usage(output=500, reasoning=400)
    assert usd("claude-opus-5-5", plain) == usd("claude-opus-5-5", thinking) == from_usd("0.01")


def test_usage_of_zero_stays_zero() -> None:
    assert usd("claude-opus-5-5", Usage()) == 0


def test_local_work_without_a_price_id_is_free() -> None:
    cost = CATALOGUE.cost(Usage(input=1_000_000, output=1_000_000), None, at=TODAY)
    assert (cost.pico, cost.row_id) == (0, "")


@pytest.mark.parametrize("model", ["claude-haiku-6", "gpt-7-luna", "made-up", "", "anthropic/claude-haiku-6"])
def test_an_unknown_model_is_an_error_and_never_free(model: str) -> None:
    with pytest.raises(UnpricedModel, match="the price table has no model"):
        usd(model, Usage(input=1))


def test_an_unknown_model_is_told_what_is_near() -> None:
    with pytest.raises(UnpricedModel, match="did you mean 'claude-haiku-5-5'"):
        CATALOGUE.model("claude-haiku-5.5")


@pytest.mark.parametrize(
    ("model", "usage", "lane", "message"),
    [
        ("gpt-6-luna", Usage(cache_write_1h=1), "standard", "no price for 'cache_write_1h', but 1 were used"),
        ("gpt-5.5", Usage(cache_write_12h=1), "standard", "no price for 'cache_write_12h'"),
        ("claude-haiku-5-5", Usage(searches=1), "standard", "no price for 'search'"),
        ("rerank-v3.5", Usage(input=1), "standard", "no price for 'input'"),
        ("text-embedding-3-small", Usage(output=1), "standard", "no price for 'output'"),
        ("claude-haiku-5-5", Usage(input=1), "flex", "no price in the lane 'flex': it has standard, batch"),
        ("gpt-5.4-nano", Usage(input=1), "priority", "no price in the lane 'priority'"),
        ("claude-haiku-5-5", Usage(input=-1), "standard", "counts -1 of 'input'"),
        ("claude-haiku-5-5", Usage(input=5, cache_read=-5), "standard", "counts -5 of 'cache_read'"),
    ],
)
def test_a_used_class_or_lane_without_a_price_is_an_error(model: str, usage: Usage, lane: Lane, message: str) -> None:
    with pytest.raises(UnpricedModel, match=message):
        usd(model, usage, lane)


def test_a_region_without_a_price_is_an_error() -> None:
    with pytest.raises(UnpricedModel, match="no price in the region 'mars': it has global, us"):
        usd("claude-haiku-5-5", Usage(input=1), region="mars")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anthropic/claude-haiku-5-5", "claude-haiku-5-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
    ],
)
def test_a_provider_or_a_snapshot_in_the_name_is_understood(name: str, meant: str) -> None:
    assert CATALOGUE.resolve(name) == meant


def test_a_snapshot_with_its_own_price_keeps_it() -> None:
    usage = Usage(input=1_000, output=1_000)
    assert (usd("gpt-4o-2024-05-13", usage), usd("gpt-4o-2024-08-06", usage)) == (from_usd("0.02"), from_usd("0.0125"))


@pytest.mark.parametrize(
    ("model", "lane", "region", "usage", "row"),
    [
        ("claude-haiku-5-5", "standard", None, Usage(input=1), "claude-haiku-5-5@start"),
        ("claude-haiku-5-5", "batch", "us", Usage(input=100_001), "claude-haiku-5-5@start>100000/batch+us"),
        ("claude-sonnet-5-5", "standard", None, Usage(input=1), "claude-sonnet-5-5@2026-10-07"),
    ],
)
def test_the_row_that_priced_is_named(model: str, lane: Lane, region: str | None, usage: Usage, row: str) -> None:
    assert CATALOGUE.cost(usage, model, at=TODAY, lane=lane, region=region).row_id == row


def test_a_retired_model_names_its_successor() -> None:
    with pytest.raises(ConfigError, match=r"gpt-5 was retired on 2026-12-11: move to gpt-6\.1-terra"):
        CATALOGUE.model("gpt-5", at=datetime(2026, 12, 11, tzinfo=UTC))
    assert CATALOGUE.model("gpt-5", at=TODAY).warning(TODAY) == "gpt-5 retires on 2026-12-11: move to gpt-6.1-terra"
    assert CATALOGUE.model("gpt-5").warning(datetime(2026, 6, 1, tzinfo=UTC)) is None


def test_a_retired_model_can_still_be_priced() -> None:
    assert usd("gpt-5", Usage(input=1_000), at=datetime(2027, 6, 1, tzinfo=UTC)) == from_usd("0.00125")


def test_old_prices_and_retirements_are_warned_of() -> None:
    assert CATALOGUE.warnings(TODAY, ["claude-haiku-5-5"]) == ()
    late = datetime(2027, 3, 1, tzinfo=UTC)
    stale, retired = CATALOGUE.warnings(late, ["gpt-4o"])
    assert "98 days ago" in stale
    assert "gpt-4o was retired" in retired


@pytest.mark.parametrize("name", CATALOGUE.ids())
def test_every_model_is_complete(name: str) -> None:
    spec = CATALOGUE.model(name)
    assert spec.provider in {"anthropic", "openai", "gemini", "cohere", "voyage"}
    assert spec.source.startswith("https://")
    assert spec.context
    for lane in spec.lanes:
        for region in (None, *spec.regions):
            assert CATALOGUE.bands(name, at=TODAY, lane=lane, region=region)
    if spec.kind == "generate":
        assert spec.tier in {"small", "medium", "large"}
        assert spec.max_output
        assert spec.cache_minimum
        assert "batch" in spec.lanes
        assert spec.retires is None or spec.successor in CATALOGUE.ids()


def test_what_a_request_must_know_of_a_model() -> None:
    haiku, sonnet, opus = (CATALOGUE.model(f"claude-{name}-5-5") for name in ("haiku", "sonnet", "opus"))
    assert (haiku.forced_tools, sonnet.forced_tools, opus.forced_tools) == (True, False, False)
    assert (haiku.lowest_thinking, sonnet.lowest_thinking, opus.lowest_thinking) == (
        "disabled",
        "between_tools",
        "always",
    )
    assert (haiku.default_effort, sonnet.default_effort, opus.default_effort) == ("medium", "high", "medium")
    assert (haiku.cache_minimum, CATALOGUE.model("claude-haiku-4-5").cache_minimum) == (512, 4096)
    assert haiku.cache_ttls == ("5m", "1h")
    assert CATALOGUE.model("gpt-6-luna").cache_ttls == ("30m", "12h")
