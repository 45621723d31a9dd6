from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import add

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.bill import Bill
from ragkit.bound import HIDDEN_TOKENS, Call, largest_output, worst_call
from ragkit.models import Catalogue
from ragkit.money import format_usd, from_usd, to_usd
from ragkit.nouns import Account, CacheTtl, Event, EventKind, Lane, Tier, Usage
from ragkit.receipt import receipt_to_json, render_receipt
from ragkit.reports.audit import differences
from ragkit.savings import ABSTAINED, CALLS, Counterfactual, reprice_baseline
from ragkit.tokens import estimate_tokens, upper_bound_tokens

CATALOGUE = Catalogue.load()
AT = datetime(2026, 11, 24, tzinfo=UTC)
GENERATORS = [name for name in CATALOGUE.ids() if CATALOGUE.model(name).kind == "generate"]
counts = st.integers(0, 400_000)
usages = st.builds(Usage, *[counts] * 9)
models = st.sampled_from(GENERATORS)


@st.composite
def priced(draw: st.DrawFn) -> tuple[str, Lane, Usage]:
    """A generator, a lane that it has, and a usage of classes that it prices."""
    spec = CATALOGUE.model(draw(models))
    lane = draw(st.sampled_from(spec.lanes))
    read, output = draw(counts), draw(counts)
    usage = Usage(input=draw(counts), cache_read=read, output=output, reasoning=draw(st.integers(0, output)))
    for ttl in spec.cache_ttls:
        usage += Usage(**{f"cache_write_{ttl}": draw(counts)})
    return spec.id, lane, usage


@given(usages, usages, usages)
def test_usage_adds_like_a_monoid(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Usage() == a
    assert (a + b).prompt == a.prompt + b.prompt


@given(priced())
def test_a_cost_is_never_negative_and_depends_on_nothing_else(case: tuple[str, Lane, Usage]) -> None:
    model, lane, usage = case
    cost = CATALOGUE.cost(usage, model, at=AT, lane=lane)
    assert cost.pico >= 0
    assert Catalogue.load().cost(usage, model, at=AT + timedelta(hours=5), lane=lane) == cost


@given(priced(), st.integers(1, 5))
def test_cost_is_additive_within_a_band(case: tuple[str, Lane, Usage], parts: int) -> None:
    model, lane, usage = case
    bands = CATALOGUE.bands(model, at=AT, lane=lane)
    whole = reduce(add, [usage] * parts)
    if all((usage.prompt > band.above) == (whole.prompt > band.above) for band in bands[1:]):
        one = CATALOGUE.cost(usage, model, at=AT, lane=lane).pico
        assert CATALOGUE.cost(whole, model, at=AT, lane=lane).pico == parts * one


@given(priced(), counts)
def test_more_tokens_never_cost_less(case: tuple[str, Lane, Usage], more: int) -> None:
    model, lane, usage = case
    less = CATALOGUE.cost(usage, model, at=AT, lane=lane).pico
    assert CATALOGUE.cost(usage + Usage(input=more), model, at=AT, lane=lane).pico >= less


@given(models, st.integers(0, 10**9))
def test_a_batch_is_never_dearer_than_a_call(model: str, tokens: int) -> None:
    usage = Usage(input=tokens, cache_read=tokens, output=tokens)
    live = CATALOGUE.cost(usage, model, at=AT).pico
    assert CATALOGUE.cost(usage, model, at=AT, lane="batch").pico <= live


@given(st.integers(-(10**24), 10**24))
def test_money_survives_its_text(pico: int) -> None:
    assert from_usd(format_usd(pico)) == pico
    assert from_usd(to_usd(pico)) == pico


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_amounts_finer_than_a_pico_dollar_are_refused_not_rounded(usd: Decimal) -> None:
    if usd.is_finite() and usd.adjusted() <= 30 and (Fraction(usd) * 10**12).denominator == 1:
        assert to_usd(from_usd(usd)) == usd
    else:
        with pytest.raises(ValueError, match="not a whole number of pico-dollars"):
            from_usd(usd)


@pytest.mark.parametrize("text", ["", "1.2.3", "one", "1e-13", "1.0000000000000000000000000000001", "9e999999"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number of pico-dollars"):
        from_usd(text)


TTLS: tuple[CacheTtl | None, ...] = (None, "5m", "30m", "1h", "12h")


@given(models, st.sampled_from(TTLS), st.data())
def test_no_usage_within_a_call_exceeds_its_bound(model: str, ttl: CacheTtl | None, data: st.DataObject) -> None:
    spec = CATALOGUE.model(model)
    ttl = ttl if ttl in spec.cache_ttls else None
    unasked = "30m" in spec.cache_ttls and data.draw(st.booleans())
    call = Call(model, data.draw(counts), data.draw(st.integers(0, 10_000)), data.draw(counts), ttl, unasked=unasked)
    prefix, rest = (data.draw(st.integers(0, most)) for most in (call.prefix + HIDDEN_TOKENS, call.input))
    read, cached = data.draw(st.integers(0, prefix)), data.draw(st.integers(0, rest))
    usage = Usage(cache_read=read + cached, output=data.draw(st.integers(0, call.max_output)))
    usage += Usage(**{"cache_write_30m" if unasked else "input": rest - cached})
    usage += Usage(**{"input" if ttl is None else f"cache_write_{ttl}": prefix - read})
    bound = worst_call(call, CATALOGUE, AT)
    assert CATALOGUE.cost(usage, model, at=AT).pico <= bound
    assert largest_output(call, bound, CATALOGUE, AT) == call.max_output


@given(st.text(max_size=2_000))
def test_tokens_are_bounded_for_any_text(text: str) -> None:
    spec = CATALOGUE.model("claude-haiku-5-5")
    bound = upper_bound_tokens(text, spec)
    assert 0 <= bound <= 8 * len(text.encode("utf-8", "surrogatepass"))
    assert estimate_tokens(text) >= 0
    if text.isascii():
        assert bound <= spec.bound * len(text) + 1


KINDS: tuple[EventKind, ...] = ("generate", "repair", "embed", "rerank", "classify", "warm")
TIERS: tuple[Tier, ...] = ("cache", "extractive", "local", "small", "medium", "large")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(priced(), st.sampled_from(KINDS), st.booleans()), max_size=6),
    st.sampled_from(TIERS),
    st.tuples(*[st.integers(0, 30_000)] * 5),
    models,
    st.booleans(),
)
def test_actual_and_savings_add_up_to_the_baseline_exactly(
    steps: list[tuple[tuple[str, Lane, Usage], EventKind, bool]],
    tier: Tier,
    tokens: tuple[int, int, int, int, int],
    baseline: str,
    abstained: bool,
) -> None:
    bill = Bill(CATALOGUE, receipt_id="r", at=AT, account=Account())
    for (model, lane, usage), kind, free in steps:
        bill.charge(Event(kind, model, usage, None, 0.1, "", lane=lane), price_id=None if free else model)
    fixed, retrieved, sent, prefix, output = tokens
    receipt = bill.receipt(Counterfactual(baseline, output, 40, fixed, retrieved, sent, prefix, tier, abstained))
    asked = sum(event.cost_pico or 0 for event in receipt.events if event.kind in CALLS)
    declined = sum(saving.pico for saving in receipt.savings if saving.lever == ABSTAINED)
    assert declined == (receipt.baseline_pico if abstained and not asked else 0)
    assert receipt.cost_pico is not None
    assert receipt.cost_pico + sum(saving.pico for saving in receipt.savings) == receipt.baseline_pico
    assert sum(saving.pico for saving in receipt.savings) == receipt.saved_pico
    assert reprice_baseline(receipt, CATALOGUE) == receipt.baseline_pico
    assert differences(receipt, CATALOGUE) == ()
    shown = receipt_to_json(receipt)
    assert from_usd(shown["cost_usd"]) + from_usd(shown["saved_usd"]) == from_usd(shown["baseline_usd"])
    assert render_receipt(receipt)
