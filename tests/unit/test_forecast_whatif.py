from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.ledger import Hold, Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Receipt, Usage
from ragkit.reports.whatif import Change, Outcome, outcome_to_json, parse_models, parse_ttl, replay

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPUS, SONNET, HAIKU, OLD_HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-haiku-4-5"
CATALOGUE = Catalogue.load()
FREE = Event("generate", "extractive", Usage(), 0, 0.1, "free", tier="extractive")
EMBEDDED = Event("embed", "voyage-4", Usage(input=30), 1800, 0.1, "question", price_row="voyage-4@start")


def asked(usage: Usage, model: str = SONNET, *, chunks: int = 4, evidence: int = 0) -> Event:
    cost = CATALOGUE.cost(usage, model, at=AT)
    return Event(
        "generate",
        model,
        usage,
        cost.pico,
        1.0,
        "asked",
        price_row=cost.row_id,
        prefix="p",
        chunks=chunks,
        evidence=evidence,
    )


def receipts(*events: Event, every: timedelta = timedelta(minutes=1)) -> list[Receipt]:
    return [Receipt(f"r-{n}", AT + n * every, Account(), (event,), 0, "", "") for n, event in enumerate(events)]


def changed(bills: list[Receipt], change: Change) -> Outcome:
    return replay(bills, CATALOGUE, change)


def price(usage: Usage, model: str = SONNET) -> int:
    return CATALOGUE.cost(usage, model, at=AT).pico


def test_nothing_changed_costs_what_it_cost() -> None:
    bills = receipts(asked(Usage(input=1000, cache_read=5000, output=100)), FREE, EMBEDDED)
    found = changed(bills, Change())
    assert (found.questions, found.events, found.changed) == (3, 3, 0)
    assert found.actual_pico == found.changed_pico == sum(bill.cost_pico or 0 for bill in bills)


def test_another_model_is_asked_in_its_own_tokens() -> None:
    usage = Usage(input=1000, output=100)
    found = changed(receipts(asked(usage, OLD_HAIKU), FREE, EMBEDDED), Change({OLD_HAIKU: HAIKU}))
    factor = CATALOGUE.model(HAIKU).typical / CATALOGUE.model(OLD_HAIKU).typical
    assert factor > 1
    theirs = Usage(
        input=-(-1000 * factor.numerator // factor.denominator), output=-(-100 * factor.numerator // factor.denominator)
    )
    assert found.changed == 1
    assert found.changed_pico == price(theirs, HAIKU) + EMBEDDED.cost_pico  # type: ignore[operator]


def test_only_the_model_that_was_named_is_replaced() -> None:
    usage = Usage(input=1000, output=100)
    bills = receipts(asked(usage, SONNET), asked(usage, OPUS))
    assert changed(bills, Change({OPUS: SONNET})).changed_pico == 2 * price(usage)
    assert changed(bills, Change({"*": OPUS})).changed_pico == 2 * price(usage, OPUS)


def test_fewer_chunks_send_their_share_of_the_evidence() -> None:
    spec = CATALOGUE.model(SONNET)
    event = asked(Usage(input=2000, output=100), chunks=4, evidence=800)
    evidence = int(800 * spec.typical)
    bills = receipts(event)
    assert changed(bills, Change(k=1)).changed_pico == price(Usage(input=2000 - evidence * 3 // 4, output=100))
    assert changed(bills, Change(k=4)).changed == changed(bills, Change(k=9)).changed == 0


def test_without_a_cache_everything_is_plain_input() -> None:
    bills = receipts(
        asked(Usage(input=1000, cache_write_5m=6000)), asked(Usage(input=1000, cache_read=6000, reasoning=3))
    )
    assert changed(bills, Change(cache=False)).changed_pico == 2 * price(Usage(input=7000))


def test_a_longer_lifetime_writes_dearer_and_reads_more_often() -> None:
    written = asked(Usage(input=1000, cache_write_5m=6000))
    bills = receipts(*[written] * 4, every=timedelta(minutes=20))
    dearer = price(Usage(input=1000, cache_write_1h=6000))
    read = price(Usage(input=1000, cache_read=6000))
    assert changed(bills, Change(ttl="1h")).changed_pico == dearer + 3 * read
    rare = receipts(*[written] * 2, every=timedelta(hours=2))
    assert changed(rare, Change(ttl="1h")).changed_pico == 2 * dearer


def test_without_a_cache_nothing_is_kept_warm_and_with_another_model_its_prefix_is() -> None:
    """A write, a refresh four minutes later, and a question another four later that reads thanks to it."""
    write, read = Usage(cache_write_5m=5000, output=1), Usage(cache_read=5000, output=1)
    bills = receipts(asked(write), replace(asked(read), kind="warm"), asked(read), every=timedelta(minutes=4))
    assert changed(bills, Change(cache=False)).changed_pico == 2 * price(Usage(input=5000, output=1))
    other = changed(bills, Change({"*": "claude-opus-5-5"}))
    assert other.changed_pico == sum(price(usage, "claude-opus-5-5") for usage in (write, read, read))


def test_tenants_and_prefixes_warm_their_own_caches() -> None:
    written = asked(Usage(input=1000, cache_write_5m=6000))
    first, second, third = receipts(written, written, replace(written, prefix="other"))
    bills = [first, replace(second, account=Account("globex")), third]
    assert changed(bills, Change(ttl="1h")).changed_pico == 3 * price(Usage(input=1000, cache_write_1h=6000))


def test_another_model_caches_only_what_it_can() -> None:
    written = asked(Usage(input=1000, cache_write_1h=3000))
    minimum = CATALOGUE.model(OLD_HAIKU).cache_minimum
    assert minimum is not None
    assert minimum > 3000
    factor = CATALOGUE.model(OLD_HAIKU).typical / CATALOGUE.model(SONNET).typical
    tokens = sum(-(-count * factor.numerator // factor.denominator) for count in (1000, 3000))
    assert changed(receipts(written), Change({"*": OLD_HAIKU})).changed_pico == price(Usage(input=tokens), OLD_HAIKU)
    gpt = changed(receipts(asked(Usage(input=1000, cache_write_1h=6000))), Change({"*": "gpt-6-sol"}))
    assert gpt.changed == 1


def test_unknown_costs_count_on_neither_side() -> None:
    lost = replace(asked(Usage(input=1000)), cost_pico=None)
    found = changed(receipts(lost), Change({"*": OPUS}))
    assert (found.unknown, found.actual_pico, found.changed_pico) == (1, 0, 0)


def test_a_lifetime_that_a_model_has_not() -> None:
    written = asked(Usage(input=1000, cache_write_5m=6000))
    with pytest.raises(ConfigError, match="has no cache that lives 12h"):
        changed(receipts(written), Change(ttl="12h"))


def test_words_that_mean_nothing() -> None:
    assert parse_models([OPUS, f"{SONNET}={HAIKU}"], CATALOGUE) == {"*": OPUS, SONNET: HAIKU}
    assert parse_ttl("30m") == "30m"
    with pytest.raises(ConfigError, match="no model 'claude-nonsense'"):
        parse_models(["claude-nonsense"], CATALOGUE)
    with pytest.raises(ConfigError, match="5m, 30m, 1h, 12h"):
        parse_ttl("2h")


def test_json() -> None:
    found = outcome_to_json(Outcome(1, 2, 1, 0, 10**12, 3 * 10**12))
    assert (found["actual_usd"], found["what_if_usd"], found["difference_usd"]) == ("1", "3", "2")
    assert found["estimated"] is True


@pytest.mark.slow
async def test_a_hundred_thousand_rows_are_replayed_in_five_seconds(tmp_path: Path) -> None:
    ledger = open_sqlite(tmp_path / "ledger.db")
    event = asked(Usage(input=1500, cache_write_5m=6000, output=200), evidence=800)
    for start in range(0, 50_000, 500):
        for n in range(start, start + 500, 50):
            events = (event, EMBEDDED) * 50
            receipt = Receipt(f"r-{n}", AT + timedelta(seconds=n), Account(), events, 0, "", "")
            await ledger.settle(Hold("free", Purchase(Account(), 0, SONNET), AT), receipt)
    began = time.process_time()
    bills = list(await ledger.receipts(AT, AT + timedelta(days=2)))
    found = replay(bills, CATALOGUE, Change({"*": OPUS}, k=2, ttl="1h"))
    took = time.process_time() - began
    await ledger.aclose()
    assert found.events == 100_000
    assert took < 5, f"{took:.1f} s"
