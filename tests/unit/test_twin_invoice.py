"""The twin's arithmetic, against amounts worked out by hand from the vendors' price pages."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit_eval.twin.anthropic_models import MODELS as CLAUDES
from ragkit_eval.twin.gemini_models import EMBEDDERS
from ragkit_eval.twin.gemini_models import MODELS as GEMINIS
from ragkit_eval.twin.invoice import PROMPT_CLASSES, Invoice, Line, price, storage_price
from ragkit_eval.twin.openai_models import MODELS as GPTS
from ragkit_eval.twin.prices import ROWS, find_row

NOW = datetime(2026, 11, 24, tzinfo=UTC)
TODAY = NOW.date()
ARGON_DAYS = (date(2026, 11, 30), date(2026, 12, 1))


def usd(model: str, lane: str = "standard", day: date = TODAY, **usage: int) -> Decimal:
    pico = price(model, lane, usage, datetime.combine(day, time(12), UTC))
    assert pico is not None
    return Decimal(pico).scaleb(-12)


@pytest.mark.parametrize(
    ("model", "lane", "usage", "expected"),
    [
        ("claude-sonnet-5-5", "standard", {"input": 1000, "output": 100}, "0.003"),
        ("claude-sonnet-5-5", "batch", {"input": 1000, "write_1h": 10_000, "output": 500}, "0.0235"),
        ("claude-opus-5-5", "standard", {"read": 20_000, "input": 2_500, "output": 400}, "0.0220"),
        ("claude-opus-5-5", "fast", {"input": 1_000_000}, "8"),
        ("claude-opus-5-5", "us+fast", {"input": 1_000_000, "read": 1_000_000}, "9.24"),
        ("claude-opus-5-5", "batch+us", {"output": 1_000_000}, "11"),
        ("claude-fable-5-1", "standard", {"read": 1_000_000}, "0.25"),
        ("claude-haiku-5-5", "us", {"input": 90_000, "output": 100}, "0.009955"),
        ("gpt-6.1-sol", "standard", {"write_30m": 100_000, "write_12h": 100_000}, "0.75"),
        ("gpt-6-luna", "flex", {"input": 100_000, "read": 100_000}, "0.0055"),
        ("gpt-6-luna", "priority", {"input": 100_000, "output": 1000}, "0.021"),
        ("gpt-5.5", "priority", {"input": 100_000}, "1.25"),
        ("gpt-5.4-mini", "standard", {"input": 100_000, "read": 100_000}, "0.0825"),
        ("gemini-3.8-flash", "batch", {"input": 100_000, "read": 100_000, "output": 1000}, "0.043125"),
        ("gemini-2.5-pro", "batch", {"input": 100_000, "read": 50_000}, "0.06875"),
        ("gemini-3.1-pro-preview", "priority", {"input": 100_000}, "0.36"),
        ("rerank-v5.0-pro", "standard", {"input": 21_000}, "0.00105"),
        ("rerank-v4.0-pro", "standard", {"search": 1}, "0.0025"),
        ("rerank-3-lite", "standard", {"input": 1_000_000}, "0.02"),
        ("text-embedding-3-large", "batch", {"input": 1_000_000}, "0.065"),
    ],
)
def test_amounts(model: str, lane: str, usage: dict[str, int], expected: str) -> None:
    pico = price(model, lane, usage, NOW)
    assert pico is not None and Decimal(pico).scaleb(-12) == Decimal(expected)


def test_haiku_costs_five_times_above_100k_and_the_whole_request_moves() -> None:
    below = usd("claude-haiku-5-5", input=40_000, read=50_000, write_5m=10_000, output=1000)
    above = usd("claude-haiku-5-5", input=40_001, read=50_000, write_5m=10_000, output=1000)
    assert below == Decimal("0.00625")
    assert above == below * 5 + Decimal("0.0000005")


def test_gpt_above_272k_costs_twice_in_and_half_as_much_again_out() -> None:
    at, over = (usd("gpt-6-sol", input=tokens, output=1000) for tokens in (272_000, 272_001))
    assert at == Decimal("0.554")
    assert over == Decimal("1.088004") + Decimal("0.015")


def test_gemini_pro_above_200k_moves_to_the_higher_band() -> None:
    assert usd("gemini-2.5-pro", input=200_000) == Decimal("0.25")
    assert usd("gemini-2.5-pro", input=200_001) == Decimal("0.5000025")


def test_sonnet_cache_reads_were_halved_on_2026_10_07() -> None:
    assert usd("claude-sonnet-5-5", day=date(2026, 10, 6), read=1_000_000) == Decimal("0.20")
    assert usd("claude-sonnet-5-5", day=date(2026, 10, 7), read=1_000_000) == Decimal("0.10")


def test_argon_doubles_on_2026_12_01() -> None:
    last, first = (usd("gemini-4-argon", day=day, input=7, read=5, output=3) for day in ARGON_DAYS)
    assert first == 2 * last


def test_every_model_that_is_served_has_a_price() -> None:
    for name in (*CLAUDES, *GPTS, *GEMINIS, *EMBEDDERS):
        assert find_row(name, NOW.date(), 1) is not None, name


def test_a_model_without_a_price_is_never_free() -> None:
    assert price("claude-unheard-of", "standard", {"input": 1}, NOW) is None
    invoice = Invoice()
    invoice.add(Line("1", NOW, "anthropic", "claude-unheard-of", "standard", {"input": 1}, None, "completed"))
    with pytest.raises(LookupError, match="claude-unheard-of"):
        _ = invoice.total_pico
    assert invoice.to_json()["unpriced"] == ["claude-unheard-of"]


def test_storage_is_rented_by_token_and_hour() -> None:
    assert storage_price("gemini-3.8-flash", 1_000_000, 3600) == 10**12
    assert storage_price("gemini-2.5-pro", 1_000_000, 1800) == 2_250_000_000_000


PRICED = st.sampled_from(sorted(ROWS))
AMOUNTS = st.integers(0, 50_000)


@settings(deadline=None)
@given(PRICED, st.sampled_from(["standard", "batch"]), AMOUNTS, AMOUNTS)
def test_amounts_are_whole_pico_dollars_and_add_up(model: str, lane: str, one: int, other: int) -> None:
    kind = "search" if ROWS[model][0].input.is_nan() else "input"
    parts = [price(model, lane, {kind: amount}, NOW) for amount in (one, other, one + other)]
    assert parts[0] is not None and parts[1] is not None
    assert parts[0] + parts[1] == parts[2]


def test_classes_of_a_prompt_are_disjoint() -> None:
    assert len(set(PROMPT_CLASSES)) == len(PROMPT_CLASSES) == 6


def test_what_accrues_is_on_the_invoice_as_of_now() -> None:
    invoice = Invoice()
    invoice.accruing.append(
        lambda: (Line("c/storage", NOW + timedelta(hours=1), "gemini", "gemini-2.5-pro", "storage", {}, 5, "storage"),)
    )
    assert invoice.total_pico == 5
