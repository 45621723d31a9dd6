import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ragkit.bill import Bill, Marks
from ragkit.calls.attempt import Attempt
from ragkit.models import Catalogue
from ragkit.money import from_usd
from ragkit.nouns import Account, Event, EventKind, Lane, Receipt, Usage
from ragkit.receipt import receipt_to_json, render_receipt
from ragkit.savings import Comparison, Counterfactual, Step, reprice_baseline

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATALOGUE = Catalogue.load()
EXTRACTIVE = Counterfactual("claude-opus-5-5", output=300, k=40, fixed=500, retrieved=12_000, sent=1_500)
HAIKU = Counterfactual("claude-opus-5-5", output=300, k=40, fixed=500, retrieved=12_000, sent=1_500, tier="small")


def bill() -> Bill:
    return Bill(CATALOGUE, receipt_id="r-1", at=AT, account=Account("acme", "ann", "k1", ("web",)))


def event(
    model: str, usage: Usage, kind: EventKind = "generate", *, lane: Lane = "standard", reason: str = ""
) -> Event:
    return Event(kind, model, usage, None, 0.5, reason, lane=lane)


def generated(
    usage: Usage, what: Counterfactual = HAIKU, *, lane: Lane = "standard", region: str | None = None
) -> Receipt:
    one = bill()
    one.charge(event("claude-haiku-5-5", usage, lane=lane), price_id="claude-haiku-5-5", region=region)
    return one.receipt(what)


def saved(receipt: Receipt) -> dict[str, int]:
    return {saving.lever: saving.pico for saving in receipt.savings}


def test_the_baseline_is_the_top_model_with_all_chunks() -> None:
    receipt = bill().receipt(EXTRACTIVE)
    # 12,500 estimated tokens are 17,500 of Claude's newer tokenizer: 17,500 x $4 + 300 x $20 a million.
    assert receipt.baseline_pico == from_usd("0.076")
    assert receipt.baseline_note == (
        "claude-opus-5-5@start: 17500 in, 300 out (estimated), all 40 retrieved chunks, no cache, no routing, no batch"
    )


def test_the_baseline_can_be_computed_again_from_the_receipt_alone() -> None:
    receipt = generated(Usage(input=2_900, output=200))
    assert reprice_baseline(receipt, CATALOGUE) == receipt.baseline_pico
    assert reprice_baseline(Receipt("r", AT, Account(), (), 0, "by hand", "v"), CATALOGUE) is None


def test_an_extractive_answer_saves_by_trimming_and_by_asking_no_model() -> None:
    one = bill()
    one.charge(event("extractive", Usage()), price_id=None)
    receipt = one.receipt(EXTRACTIVE)
    assert (receipt.cost_pico, receipt.saved_pico) == (0, receipt.baseline_pico)
    # Without the other chunks: 2,000 estimated tokens are 2,800; 10,500 fewer at 1.4 and $4 a million.
    assert saved(receipt) == {"trimming": from_usd("0.0588"), "extractive": from_usd("0.0172")}


def test_an_answer_from_the_cache_saves_all_at_once() -> None:
    one = bill()
    one.charge(event("cache", Usage()), price_id=None)
    receipt = one.receipt(Counterfactual("claude-opus-5-5", 300, 40, 500, 12_000, 1_500, tier="cache"))
    assert saved(receipt) == {"answer cache": receipt.baseline_pico}


def test_a_local_model_saves_all_but_its_share_of_the_machine() -> None:
    one = bill()
    one.add(Event("generate", "qwen", Usage(input=2_000, output=200), from_usd("0.0002"), 1.0, "", lane="local"))
    receipt = one.receipt(Counterfactual("claude-opus-5-5", 300, 40, 500, 12_000, 1_500, tier="local"))
    assert saved(receipt)["local"] == from_usd("0.0170")
    assert receipt.saved_pico == receipt.baseline_pico - from_usd("0.0002")


def test_a_smaller_model_with_fewer_chunks_and_a_shorter_answer() -> None:
    receipt = generated(Usage(input=2_800, output=200))
    # As the provider counted, 2,000 estimated tokens are 2,800; both models have the same tokenizer.
    assert receipt.baseline_pico == from_usd("0.076")
    assert saved(receipt) == {
        "trimming": from_usd("0.0588"),
        "routing": from_usd("0.01677"),  # 0.0172 - (2,800 x $0.10 + 300 x $0.50)
        "structured": from_usd("0.00005"),
    }


def test_the_provider_s_count_corrects_the_estimates() -> None:
    receipt = generated(Usage(input=4_000, output=300))
    assert receipt.baseline_note.startswith("claude-opus-5-5@start: 25000 in, 300 out")


def test_another_tokenizer_is_converted_to_the_baseline_s() -> None:
    one = bill()
    one.charge(event("gpt-6-luna", Usage(input=2_000, output=300)), price_id="gpt-6-luna")
    assert one.receipt(HAIKU).baseline_note.startswith("claude-opus-5-5@start: 17500 in")


def test_a_hot_prefix_costs_and_its_cache_gives_back() -> None:
    what = Counterfactual("claude-opus-5-5", 300, 40, 500, 12_000, 1_500, prefix=10_000, tier="small")
    receipt = generated(Usage(input=2_800, cache_read=14_000, output=300), what)
    # 14,000 tokens at $0.10 a million more in the prompt, read at $0.01 instead.
    assert saved(receipt)["hot prefix"] == -from_usd("0.0014")
    assert saved(receipt)["caching"] == from_usd("0.00126")


def test_a_cold_cache_is_a_loss_and_shown_as_one() -> None:
    what = Counterfactual("claude-opus-5-5", 300, 40, 500, 12_000, 1_500, prefix=10_000, tier="small")
    receipt = generated(Usage(input=2_800, cache_write_1h=14_000, output=300), what)
    assert saved(receipt)["caching"] == -from_usd("0.0014")


def test_a_batch_saves_and_a_region_costs() -> None:
    receipt = generated(Usage(input=2_800, output=300), lane="batch", region="us")
    assert saved(receipt)["batch"] == from_usd("0.000215")
    assert saved(receipt)["region"] == -from_usd("0.0000215")


def test_priority_is_a_lever_of_its_own() -> None:
    one = bill()
    one.charge(event("gpt-6-luna", Usage(input=2_000, output=300), lane="priority"), price_id="gpt-6-luna")
    assert saved(one.receipt(HAIKU))["priority"] == -from_usd("0.00035")


def test_steps_beside_the_answer_are_overhead_under_their_own_names() -> None:
    one = bill()
    one.charge(event("text-embedding-3-small", Usage(input=1_000), "embed"), price_id="text-embedding-3-small")
    one.charge(event("rerank-v4.0-pro", Usage(searches=1), "rerank"), price_id="rerank-v4.0-pro")
    one.charge(event("gpt-6-luna", Usage(input=100), "classify"), price_id="gpt-6-luna")
    one.charge(event("claude-sonnet-5-5", Usage(input=1_000)), price_id="claude-sonnet-5-5")
    one.charge(event("claude-haiku-5-5", Usage(input=1_000)), price_id="claude-haiku-5-5")
    one.charge(event("claude-haiku-5-5", Usage(input=2_800, output=300)), price_id="claude-haiku-5-5")
    one.charge(event("claude-haiku-5-5", Usage(input=3_500, output=300), "repair"), price_id="claude-haiku-5-5")
    one.charge(event("claude-haiku-5-5", Usage(cache_write_5m=1_000), "warm"), price_id="claude-haiku-5-5")
    receipt = one.receipt(HAIKU)
    overhead = {lever: -pico for lever, pico in saved(receipt).items() if pico < 0}
    assert overhead == {
        "embedding": from_usd("0.00002"),
        "reranking": from_usd("0.0025"),
        "classifier": from_usd("0.00001"),
        "escalation": from_usd("0.002"),
        "retries": from_usd("0.0001"),
        "repairs": from_usd("0.0005"),
        "warm-up": from_usd("0.000125"),
    }
    assert receipt.cost_pico is not None
    assert receipt.cost_pico + sum(saved(receipt).values()) == receipt.baseline_pico


def test_an_answer_from_the_cache_still_books_its_embedding() -> None:
    one = bill()
    one.charge(event("voyage-4", Usage(input=1_000), "embed"), price_id="voyage-4")
    one.charge(event("cache", Usage()), price_id=None)
    receipt = one.receipt(Counterfactual("claude-opus-5-5", 300, 40, 500, 12_000, 1_500, tier="cache"))
    assert receipt.cost_pico == from_usd("0.00006")
    assert saved(receipt)["embedding"] == -from_usd("0.00006")


@pytest.mark.parametrize("asked", ["nobody", "extractive", "local"])
def test_an_abstention_without_a_paid_call_is_told_apart_from_an_answer_for_nothing(asked: str) -> None:
    one = bill()
    one.charge(event("text-embedding-3-small", Usage(input=1_000), "embed"), price_id="text-embedding-3-small")
    one.charge(event("edge", Usage(), "store"), price_id=None)
    if asked != "nobody":
        one.charge(event(asked, Usage()), price_id=None)
    answered, receipt = one.receipt(EXTRACTIVE), one.receipt(replace(EXTRACTIVE, abstained=True))
    assert set(saved(answered)) == {"trimming", "extractive", "embedding"}
    assert saved(receipt) == {"abstained": receipt.baseline_pico, "embedding": -from_usd("0.00002")}
    assert (receipt.baseline_pico, receipt.saved_pico) == (answered.baseline_pico, answered.saved_pico)
    assert render_receipt(receipt).splitlines()[-1] == (
        "  declined  $0.076 of it: there is no answer, and none was paid for"
    )
    assert "declined" not in render_receipt(answered)


def test_an_abstention_after_a_paid_call_keeps_what_was_cheaper() -> None:
    one = bill()
    one.charge(event("claude-haiku-5-5", Usage(input=2_800, output=200)), price_id="claude-haiku-5-5")
    assert one.receipt(replace(HAIKU, abstained=True)) == one.receipt(HAIKU)
    one.charge(event("extractive", Usage()), price_id=None)
    assert "abstained" not in saved(one.receipt(replace(HAIKU, abstained=True)))


def test_a_free_answer_is_called_free_also_where_another_model_was_to_be_asked() -> None:
    one = bill()
    one.charge(replace(event("extractive", Usage()), tier="extractive"), price_id=None)
    assert set(saved(one.receipt(HAIKU))) == {"trimming", "extractive"}


def test_savings_are_not_split_where_a_cost_is_unknown() -> None:
    steps = [Step(event("claude-haiku-5-5", Usage(input=1)), "claude-haiku-5-5", None)]
    with pytest.raises(ValueError, match="only where every cost is known"):
        Comparison(HAIKU, steps, CATALOGUE, AT).savings()


def test_a_saving_can_be_negative() -> None:
    what = Counterfactual("claude-haiku-5-5", 100, 3, 100, 300, 300, tier="large")
    one = bill()
    one.charge(event("claude-opus-5-5", Usage(input=560, output=2_000)), price_id="claude-opus-5-5")
    receipt = one.receipt(what)
    assert receipt.saved_pico is not None
    assert receipt.saved_pico < 0
    assert sum(saved(receipt).values()) == receipt.saved_pico
    assert "saved     -$0.0421" in render_receipt(receipt)


def test_an_unknown_cost_claims_no_saving() -> None:
    one = bill()
    one.record(Attempt("generate", "anthropic", "claude-haiku-5-5", None, 60.0, 1, "", "Unavailable"), price_id="x")
    receipt = one.receipt(HAIKU)
    assert (one.spent_pico, receipt.cost_pico, receipt.saved_pico, receipt.savings) == (None, None, None, ())
    shown = receipt_to_json(receipt)
    assert (shown["cost_usd"], shown["saved_usd"], shown["savings"]) == (None, None, [])
    assert "cost      unknown" in render_receipt(receipt)
    assert "no saving is claimed" in render_receipt(receipt)


def test_a_step_that_was_paid_for_but_has_no_price_is_kept_with_an_unknown_cost() -> None:
    one = bill()
    kept = one.charge(event("claude-haiku-9", Usage(input=100), reason="by hand"), price_id="claude-haiku-9")
    assert kept.cost_pico is None
    assert kept.reason.startswith("by hand; the price table has no model 'claude-haiku-9'")
    assert one.receipt(HAIKU).events == (kept,)


def test_every_attempt_is_charged_at_what_it_used() -> None:
    one = bill()
    usage = Usage(input=1_000, output=50)
    one.record(
        Attempt("generate", "anthropic", "claude-haiku-5-5", usage, 2.0, 1, "", "Unavailable", estimated=True),
        price_id="claude-haiku-5-5",
    )
    marks = Marks("small", "abc", 4, 1_500)
    answer = one.record(
        Attempt("generate", "anthropic", "claude-haiku-5-5", usage, 2.0, 2, "again after Unavailable", "ok", "batch"),
        price_id="claude-haiku-5-5",
        marks=marks,
    )
    failed = one.events[0]
    assert (failed.cost_pico, failed.estimated, failed.reason) == (from_usd("0.000125"), True, "Unavailable")
    assert (answer.cost_pico, answer.attempt, answer.lane) == (from_usd("0.0000625"), 2, "batch")
    assert (answer.tier, answer.prefix, answer.chunks, answer.evidence) == ("small", "abc", 4, 1_500)
    assert one.spent_pico == from_usd("0.0001875")


def test_a_failed_attempt_of_a_local_model_is_free_even_when_its_usage_is_unknown() -> None:
    one = bill()
    one.record(Attempt("generate", "vllm", "qwen", None, 1.0, 1, "", "Unavailable"), price_id=None)
    assert one.spent_pico == 0


def test_json_has_the_public_shape() -> None:
    one = bill()
    usage = Usage(input=2_800, cache_read=14_000, cache_write_30m=7, output=210, reasoning=80)
    one.charge(event("gpt-6-luna", usage, reason="small tier"), price_id="gpt-6-luna")
    shown = json.loads(json.dumps(receipt_to_json(one.receipt(HAIKU))))
    (only,) = shown["events"]
    assert only["usage"] == {
        "input": 2_800,
        "cache_read": 14_000,
        "cache_write_5m": 0,
        "cache_write_30m": 7,
        "cache_write_1h": 0,
        "output": 210,
        "reasoning": 80,
    }
    assert {key: only[key] for key in ("kind", "model", "cost_usd", "attempt", "reason", "price_row")} == {
        "kind": "generate",
        "model": "gpt-6-luna",
        "cost_usd": "0.000525875",
        "attempt": 1,
        "reason": "small tier",
        "price_row": "gpt-6-luna@start",
    }
    assert set(shown) >= {"id", "events", "cost_usd", "baseline_usd", "saved_usd", "price_version"}
    assert shown["price_version"] == CATALOGUE.version


def test_simulated_and_estimated_are_said_on_every_surface() -> None:
    one = bill()
    usage = Usage(input=2_800, output=300)
    told = Event("generate", "claude-haiku-5-5", usage, None, 1, "x", estimated=True, request_id="req_twin00000001")
    one.charge(told, price_id="claude-haiku-5-5")
    receipt = one.receipt(HAIKU)
    assert "(simulated)" in render_receipt(receipt)
    assert "(estimated)" in render_receipt(receipt)
    (shown,) = receipt_to_json(receipt)["events"]
    assert (shown["simulated"], shown["estimated"]) == (True, True)


def test_a_rendered_receipt_lines_up() -> None:
    one = bill()
    one.charge(
        event("text-embedding-3-small", Usage(input=12), "embed", reason="question"), price_id="text-embedding-3-small"
    )
    one.charge(event("embedded", Usage(), "rerank", reason="local"), price_id=None)
    one.charge(
        event("claude-haiku-5-5", Usage(input=2_800, output=210, reasoning=80), lane="batch"),
        price_id="claude-haiku-5-5",
    )
    assert render_receipt(one.receipt(HAIKU)).splitlines() == [
        f"receipt r-1  2026-11-24 12:00 UTC  prices {CATALOGUE.version}",
        "  embed     text-embedding-3-small    12 in                                 $0.00000024  0.50 s  question",
        "  rerank    embedded                  no tokens                                      $0  0.50 s  local",
        "  generate  claude-haiku-5-5 (batch)  2,800 in 210 out (80 of it thinking)   $0.0001925  0.50 s",
        "  cost      $0.00019274",
        "  baseline  $0.076  claude-opus-5-5@start: 17500 in, 300 out (estimated), all 40 retrieved chunks, no cache,"
        " no routing, no batch",
        "  saved     $0.07580726 (99.7%): trimming $0.0588, routing $0.01677, structured $0.000045, batch $0.0001925,"
        " embedding -$0.00000024",
    ]


def test_a_baseline_without_a_price_costs_the_comparison_and_not_the_bill() -> None:
    one = bill()
    one.charge(event("claude-haiku-5-5", Usage(input=2_900, output=200)), price_id="claude-haiku-5-5")
    receipt = one.receipt(Counterfactual("voyage-4", output=300, k=40, fixed=500, retrieved=12_000, sent=1_500))
    assert receipt.cost_pico == receipt.baseline_pico == generated(Usage(input=2_900, output=200)).cost_pico
    assert not receipt.savings
    assert "not compared: voyage-4@start has no price for 'output'" in receipt.baseline_note
