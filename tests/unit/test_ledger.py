"""One suite over every ledger; PostgreSQL where RAGKIT_TEST_POSTGRES names a server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postgres import new_schema
from ragkit.bill import NO_BASELINE, is_question
from ragkit.budget import Budget, OnExceed, Scope, affordable, pressure
from ragkit.errors import BudgetExceeded, IdempotencyConflict, LedgerError, RequestInFlight
from ragkit.ledger import Hold, Purchase, hold_name
from ragkit.ledgers.overview import CacheUse
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Lane, Receipt, Saving, Usage
from ragkit.reports.spending import Span, report
from ragkit.reports.whatif import Change, replay
from ragkit.savings import UNASKED
from ragkit.window import parse_window
from ragkit_api.overview import Decision, decision_of

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACME = Account("acme", "alice", "key-1", ("research",))


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


Opener = Callable[[], SqlLedger]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
async def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Opener]:
    """Opens the same ledger each time it is called."""
    numbers = iter(range(10**6))
    options = Options(lease=300.0, clock=clock, ids=lambda: f"hold-{next(numbers):04}", patience=20.0)
    if request.param == "sqlite":
        yield lambda: open_sqlite(tmp_path / "ledger.db", options)
        return
    with new_schema() as schema:
        from ragkit.ledgers.postgres import open_postgres

        yield lambda: open_postgres(schema.dsn, options)


@pytest.fixture
async def ledger(opener: Opener) -> AsyncIterator[SqlLedger]:
    ledger = opener()
    yield ledger
    audit = await ledger.audit()
    assert audit.differences == ()
    await ledger.aclose()


def buy(pico: int, account: Account = ACME, *, model: str = "small", lane: Lane = "standard") -> Purchase:
    return Purchase(account, pico, model, lane)


def event(cost: int | None, *, model: str = "small", lane: Lane = "standard") -> Event:
    return Event("generate", model, Usage(input=10, output=2), cost, 0.5, "asked", lane=lane)


def bill(name: str, *costs: int | None, account: Account = ACME, at: datetime = START) -> Receipt:
    return Receipt(name, at, account, tuple(event(cost) for cost in costs), 1000, "top model", "prices-1")


def budget(scope: Scope, subject: str, limit: int | None, window: str = "month", on: OnExceed = "refuse") -> Budget:
    return Budget(scope, subject, parse_window(window), limit, on)


async def totals(ledger: SqlLedger) -> tuple[int, int]:
    audit = await ledger.audit()
    return audit.held_pico, audit.posted_pico


async def test_a_receipt_comes_back_as_it_was(ledger: SqlLedger, opener: Opener) -> None:
    usage = Usage(*range(1, 1 + len(fields(Usage))))
    full = Event(
        "repair", "m", usage, None, 0.25, "re-asked", 2, "batch", "m@1", True, 7, "req", "large", "digest", 4, 900
    )
    receipt = Receipt(
        "r-1",
        START + timedelta(microseconds=1),
        Account("acme", None, None, ("ä", "b")),
        (event(0), full),
        10**15 + 1,
        "note",
        "prices-1",
        (Saving("cache", -3), Saving("routing", 10**15)),
    )
    hold = await ledger.hold(buy(50))
    await ledger.settle(hold, receipt)
    other = opener()
    assert await other.receipt("acme", "r-1") == receipt
    assert await other.receipt("globex", "r-1") is None
    await other.aclose()


async def test_a_hold_is_set_aside_and_settled_at_what_it_cost(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(100))
    assert hold.expires == START + timedelta(seconds=300)
    assert await totals(ledger) == (100, 0)
    await ledger.settle(hold, bill("r-1", 30, 5))
    assert await totals(ledger) == (0, 35)


async def test_settling_twice_is_settling_once(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(100))
    for _ in range(2):
        await ledger.settle(hold, bill("r-1", 30))
    assert await totals(ledger) == (0, 30)


async def test_a_released_hold_costs_nothing(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(100))
    await ledger.release(hold)
    await ledger.release(hold)
    assert await totals(ledger) == (0, 0)


async def test_free_work_holds_nothing_but_has_a_receipt(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("all", "", 0))
    hold = await ledger.hold(buy(0))
    await ledger.settle(hold, bill("r-1", 0))
    await ledger.release(hold)
    assert await totals(ledger) == (0, 0)
    assert await ledger.receipt("acme", "r-1") == bill("r-1", 0)


async def test_an_unknown_cost_posts_what_is_left_of_the_hold(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(100))
    await ledger.settle(hold, bill("r-1", 30, None, None))
    assert await totals(ledger) == (0, 100)


async def test_an_overrun_is_posted_in_full_and_flagged(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("all", "", 100))
    await ledger.settle(await ledger.hold(buy(100)), bill("r-1", 130))
    assert await totals(ledger) == (0, 130)
    assert [it.overruns for it in await ledger.bills(START - timedelta(days=1), START + timedelta(days=1))] == [1]
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(1))


async def test_several_holds_settle_with_one_receipt(ledger: SqlLedger) -> None:
    first, second = await ledger.hold(buy(100)), await ledger.hold(buy(40, model="large"))
    await ledger.settle(first, bill("r-1", 90, 35), second)
    assert await totals(ledger) == (0, 125)


async def test_a_lapsed_hold_is_posted_once_as_unresolved(ledger: SqlLedger, clock: Clock, opener: Opener) -> None:
    await ledger.hold(buy(100))
    clock.forward(seconds=299)
    assert await ledger.sweep() == 0
    clock.forward(seconds=1)
    other = opener()
    assert sorted(await asyncio.gather(ledger.sweep(), other.sweep()))[0] == 0
    assert await ledger.sweep() == 0
    assert await totals(ledger) == (0, 100)
    cells = await ledger.cells(START - timedelta(days=1), START + timedelta(days=1))
    assert [(cell.kind, cell.events, cell.posted_pico) for cell in cells] == [("unresolved", 1, 100)]
    await other.aclose()


async def test_opening_sweeps(ledger: SqlLedger, clock: Clock, opener: Opener) -> None:
    await ledger.hold(buy(100))
    clock.forward(hours=1)
    other = opener()
    await other.set_budget(budget("all", "", 100))
    assert await totals(other) == (0, 100)
    await other.aclose()


async def test_a_late_settlement_corrects_what_was_posted(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.set_budget(budget("all", "", 100))
    hold = await ledger.hold(buy(100))
    clock.forward(hours=1)
    await ledger.sweep()
    await ledger.settle(hold, bill("r-1", 30))
    await ledger.release(hold)
    await ledger.settle(hold, bill("r-1", 30))
    assert await totals(ledger) == (0, 30)
    await ledger.hold(buy(70))


async def test_a_late_release_corrects_what_was_posted(ledger: SqlLedger, clock: Clock) -> None:
    hold = await ledger.hold(buy(100))
    clock.forward(hours=1)
    await ledger.sweep()
    await ledger.release(hold)
    assert await totals(ledger) == (0, 0)


async def test_a_bill_is_written_whatever_became_of_its_hold(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(100))
    await ledger.release(hold)
    await ledger.settle(hold, bill("r-1", 30))
    await ledger.settle(Hold("unheard-of", buy(10), START), bill("r-2", 5))
    assert await totals(ledger) == (0, 35)


async def test_a_purchase_may_ask_for_a_longer_lease(ledger: SqlLedger) -> None:
    purchase = Purchase(ACME, 100, "small", "batch", lease=86400.0)
    assert (await ledger.hold(purchase)).expires == START + timedelta(days=1)


async def test_all_budgets_or_none(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("tenant", "acme", 100))
    await ledger.set_budget(budget("user", "acme/alice", 30))
    await ledger.set_budget(budget("all", "", 1000))
    with pytest.raises(BudgetExceeded) as refused:
        await ledger.hold(buy(40))
    assert refused.value.scope == "user=acme/alice"
    assert refused.value.window == "month"
    assert refused.value.left_pico == 30
    assert refused.value.resets == datetime(2026, 12, 1, tzinfo=UTC)
    assert await totals(ledger) == (0, 0)
    assert {standing.left_pico for standing in await ledger.standings(buy(40))} == {100, 30, 1000}
    await ledger.hold(buy(40, Account("acme", "bob")))


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("all", ""),
        ("key", "key-1"),
        ("tenant", "acme"),
        ("user", "acme/alice"),
        ("tag", "acme/research"),
        ("model", "small"),
        ("lane", "standard"),
        ("key", "*"),
        ("tenant", "*"),
        ("user", "*"),
        ("user", "acme/*"),
        ("tag", "acme/*"),
        ("model", "*"),
        ("lane", "*"),
    ],
)
async def test_every_scope_is_enforced(ledger: SqlLedger, scope: Scope, subject: str) -> None:
    await ledger.set_budget(budget(scope, subject, 100))
    await ledger.settle(await ledger.hold(buy(60)), bill("r-1", 60))
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(41))
    await ledger.hold(buy(40))


async def test_a_star_limits_each_one_by_itself_and_a_name_replaces_it(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("tenant", "*", 10))
    await ledger.set_budget(budget("tenant", "acme", 100))
    await ledger.hold(buy(100))
    await ledger.hold(buy(10, Account("globex")))
    await ledger.hold(buy(10, Account("initech")))
    with pytest.raises(BudgetExceeded, match="tenant=initech"):
        await ledger.hold(buy(1, Account("initech")))


async def test_the_first_requests_of_an_unknown_tenant_share_its_default_budget(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("tenant", "*", 30))
    outcomes = await asyncio.gather(*(ledger.hold(buy(10, Account("new"))) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(it, Hold) for it in outcomes) == 3


async def test_a_model_budget_counts_the_models_that_answered(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("model", "*", 100))
    hold = await ledger.hold(Purchase(ACME, 60, "small", fallbacks=("large",)))
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(60, model="large"))
    events = (event(20), event(35, model="large"))
    await ledger.settle(hold, Receipt("r-1", START, ACME, events, 0, "", ""))
    by_model = {it.charge.subject: it.posted_pico for it in await ledger.all_standings()}
    assert by_model == {"small": 20, "large": 35}


async def test_a_model_is_known_by_its_own_name_and_by_that_of_its_price(ledger: SqlLedger) -> None:
    for name in ("claude", "gateway/claude-1"):
        await ledger.set_budget(budget("model", name, 100))
    hold = await ledger.hold(buy(60, model="claude"))
    answered = replace(event(35, model="gateway/claude-1"), price_row="claude@2026-01-01")
    await ledger.settle(hold, Receipt("r-1", START, ACME, (answered,), 0, "", ""))
    assert {it.posted_pico for it in await ledger.all_standings()} == {35}
    assert len(await ledger.all_standings()) == 2


async def test_a_budget_counts_what_was_spent_and_held_before_it(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.settle(await ledger.hold(buy(60)), bill("r-1", 60))
    held = await ledger.hold(buy(20))
    await ledger.set_budget(budget("tenant", "acme", 100))
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(21))
    await ledger.release(held)
    await ledger.hold(buy(40))


async def test_budgets_have_a_history_and_an_end(ledger: SqlLedger, opener: Opener) -> None:
    await ledger.set_budget(budget("tenant", "acme", 100), "first")
    other = opener()
    await other.set_budget(budget("tenant", "acme", 50))
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(51))
    await other.set_budget(budget("tenant", "acme", None), "over")
    await ledger.hold(buy(10**6))
    assert await ledger.budgets() == ()
    history = await ledger.budget_history()
    assert [(it.budget.limit_pico, it.note) for it in history] == [(100, "first"), (50, ""), (None, "over")]
    await other.aclose()


async def test_spending_lands_in_the_window_of_its_hold(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.set_budget(budget("all", "", 100, "day"))
    clock.now = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
    hold = await ledger.hold(buy(100))
    clock.forward(seconds=2)
    await ledger.hold(buy(100))
    await ledger.settle(hold, bill("r-1", 80, at=clock.now))
    assert [it.posted_pico for it in await ledger.all_standings()] == [0]


async def test_a_rolling_window_forgets_step_by_step(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.set_budget(budget("all", "", 100, "1h"))
    await ledger.hold(buy(60))
    clock.forward(minutes=30)
    await ledger.hold(buy(40))
    with pytest.raises(BudgetExceeded) as refused:
        await ledger.hold(buy(1))
    assert refused.value.resets == START + timedelta(minutes=61)
    clock.forward(minutes=31)
    with pytest.raises(BudgetExceeded):
        await ledger.hold(buy(61))
    await ledger.hold(buy(60))


async def test_balances_of_windows_that_are_over_are_dropped(ledger: SqlLedger, clock: Clock, opener: Opener) -> None:
    for window in ("hour", "day", "1h", "total"):
        await ledger.set_budget(budget("all", "", 10**6, window))
    await ledger.set_budget(budget("lane", "*", 10**6, "week"))
    await ledger.set_budget(budget("lane", "*", None, "week"))
    for _ in range(30):
        await ledger.settle(await ledger.hold(buy(7)), bill(f"r-{clock.now}", 7))
        clock.forward(hours=1)
    before = {it.charge.name: it.posted_pico for it in await ledger.all_standings()}
    clock.forward(days=1)
    other = opener()
    await other.hold(buy(1))
    starts = await other._reader.run(lambda books: books.session.execute("SELECT span, start FROM balance"))
    assert len(starts) < 40
    assert {span for span, _ in starts} == {"hour", "day", "rolling 1h", "total"}
    assert before["all", "", "total"] == 210
    clock.forward(days=300)
    await other.aclose()
    last = opener()
    await last.hold(buy(1))
    after = {it.charge.name: it.posted_pico + it.held_pico for it in await last.all_standings()}
    assert after == {
        ("all", "", "day"): 1,
        ("all", "", "hour"): 1,
        ("all", "", "rolling 1h"): 1,
        ("all", "", "total"): 212,
    }
    await last.aclose()


async def test_a_question_has_its_own_cap(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("tenant", "*", 50, "question"))
    for _ in range(3):
        await ledger.hold(buy(50))
    with pytest.raises(BudgetExceeded, match="per question"):
        await ledger.hold(buy(51))
    with pytest.raises(BudgetExceeded, match="its own limit"):
        await ledger.hold(Purchase(ACME, 20, "small", max_cost_pico=19))


async def test_the_fate_of_a_named_purchase_is_what_its_holds_say(ledger: SqlLedger) -> None:
    def named(number: int) -> Purchase:
        return replace(buy(5), hold_id=hold_name("p", number))

    assert await ledger.fate("p") == "nothing"
    await ledger.release(await ledger.hold(named(0)))
    assert await ledger.fate("p") == "nothing"
    held = await ledger.hold(named(1))
    assert await ledger.fate("p") == "unknown"
    await ledger.settle(held, bill("p", 3))
    assert await ledger.fate("p") == "settled"
    assert await ledger.fate("p-1") == await ledger.fate("other") == "nothing"


async def test_standings_tell_the_pressure_and_what_is_affordable(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("tenant", "acme", 100, on="degrade"))
    assert affordable(await ledger.standings(buy(0))) == 100
    await ledger.settle(await ledger.hold(buy(92)), bill("r-1", 92))
    standings = await ledger.standings(buy(0))
    assert pressure(standings) == "lower"
    assert affordable(standings) == 8


async def test_a_cancelled_caller_leaves_no_hold(ledger: SqlLedger) -> None:
    await ledger.set_budget(budget("all", "", 1000))
    for delay in (0.0, 0.0005, 0.002, 0.005):
        tasks = [asyncio.create_task(ledger.hold(buy(10))) for _ in range(20)]
        await asyncio.sleep(delay)
        kept = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for task in kept:
            await ledger.release(task.result())
        assert len(kept) == sum(isinstance(it, Hold) for it in outcomes)
        assert await ledger.sweep() == 0
        assert await totals(ledger) == (0, 0)


async def test_a_cancelled_settlement_still_happens(ledger: SqlLedger) -> None:
    hold = await ledger.hold(buy(10))
    task = asyncio.create_task(ledger.settle(hold, bill("r-1", 7)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.sweep()
    assert await totals(ledger) == (0, 7)


async def test_the_same_request_is_answered_once(ledger: SqlLedger) -> None:
    assert await ledger.begin("acme", "k", "digest") is None
    with pytest.raises(RequestInFlight):
        await ledger.begin("acme", "k", "digest")
    assert await ledger.begin("globex", "k", "other") is None
    await ledger.finish("acme", "k", "the answer")
    await ledger.finish("acme", "k", "another answer")
    assert await ledger.begin("acme", "k", "digest") == "the answer"
    with pytest.raises(IdempotencyConflict, match="another request"):
        await ledger.begin("acme", "k", "changed")


async def test_a_cancelled_claim_does_not_give_back_that_of_another(ledger: SqlLedger) -> None:
    await ledger.begin("acme", "k", "digest")
    for key in ("k", "other"):
        task = asyncio.create_task(ledger.begin("acme", key, "digest"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(RequestInFlight):
        await ledger.begin("acme", "k", "digest")
    assert await ledger.begin("acme", "other", "digest") is None


async def test_a_key_buys_under_one_name_until_it_is_used_anew(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.begin("acme", "k", "digest")
    name = await ledger.purchase("acme", "k")
    clock.forward(seconds=300)
    task = asyncio.create_task(ledger.begin("acme", "k", "digest"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ledger.begin("acme", "k", "digest") is None
    assert await ledger.purchase("acme", "k") == name
    await ledger.begin("globex", "k", "digest")
    assert await ledger.purchase("globex", "k") != name
    await ledger.abandon("acme", "k")
    with pytest.raises(IdempotencyConflict, match="given back"):
        await ledger.purchase("acme", "k")
    clock.forward(seconds=1)
    await ledger.begin("acme", "k", "digest")
    assert await ledger.purchase("acme", "k") != name


async def test_a_refusal_tells_the_least_that_is_left(ledger: SqlLedger) -> None:
    for scope, subject, limit in (("all", "", 50), ("tenant", "acme", 20), ("user", "acme/alice", 30)):
        await ledger.set_budget(budget(scope, subject, limit))  # type: ignore[arg-type]
    with pytest.raises(BudgetExceeded, match="tenant=acme") as refused:
        await ledger.hold(buy(60))
    await ledger.hold(buy(refused.value.left_pico))


async def test_a_claim_can_be_given_back_and_lapses(ledger: SqlLedger, clock: Clock) -> None:
    await ledger.begin("acme", "k", "digest")
    await ledger.abandon("acme", "k")
    assert await ledger.begin("acme", "k", "changed") is None
    clock.forward(seconds=300)
    assert await ledger.begin("acme", "k", "changed") is None


async def test_old_answers_are_forgotten(ledger: SqlLedger, clock: Clock, opener: Opener) -> None:
    await ledger.begin("acme", "k", "digest")
    await ledger.finish("acme", "k", "the answer")
    clock.forward(days=8)
    other = opener()
    await other.sweep()
    await other.sweep()
    assert await ledger.begin("acme", "k", "changed") is None
    await other.aclose()


async def test_a_closed_ledger_says_so(opener: Opener) -> None:
    ledger = opener()
    await ledger.hold(buy(1))
    await ledger.aclose()
    with pytest.raises(LedgerError, match="closed"):
        await ledger.hold(buy(1))


async def test_twenty_seven_cents_in_a_million_pieces(ledger: SqlLedger) -> None:
    events = tuple(event(270_001) for _ in range(1000))
    for number in range(3):
        await ledger.settle(await ledger.hold(buy(300_000_000)), Receipt(f"r-{number}", START, ACME, events, 0, "", ""))
    assert await totals(ledger) == (0, 3 * 1000 * 270_001)


def answer_bill(dice: random.Random, number: int, tenant: str) -> Receipt:
    """A receipt as an answer of some kind leaves it: with calls, free steps, levers, or little of all that."""
    kinds = ("generate", "repair", "embed", "rerank")
    events = tuple(
        Event(
            dice.choice(kinds),  # type: ignore[arg-type]
            dice.choice(("small", "large")),
            Usage(dice.randrange(9), dice.randrange(9), dice.randrange(9), output=3),
            dice.choice((None, 0, 5, 70)),
            dice.random(),
            dice.choice(("simulated: plain", "plain")),
            tier=dice.choice((None, "small", "large")),
            prefix=dice.choice(("", "p1", "p2")),
        )
        for _ in range(dice.randrange(4))
    )
    levers = ("trimming", *UNASKED)
    savings = tuple(Saving(dice.choice(levers), dice.randrange(50)) for _ in range(dice.randrange(3)))
    at = START + timedelta(minutes=dice.randrange(90))
    return Receipt(f"r-{number:03}", at, Account(tenant), events, dice.randrange(100), "top model", "prices-1", savings)


ASKED = "top@start: 900 in, 300 out (estimated), all 40 retrieved chunks, no cache, no routing, no batch"
EMPTY = "top@start: 0 in, 0 out (estimated), all 0 retrieved chunks, no cache, no routing, no batch"
OTHERS = (
    (EMPTY, ("warm",)),
    (EMPTY, ("warm", "warm")),
    (NO_BASELINE, ("warm",)),
    (NO_BASELINE, ("embed",)),
    (NO_BASELINE, ("embed", "rerank")),
    (NO_BASELINE, ("context",)),
    (EMPTY, ("embed", "rerank", "classify")),
)
"""What keeps a prefix warm, an ingest's vectors and contexts, a search, and what prepares a batch."""
QUESTIONS = (
    (ASKED, ()),
    (ASKED, ("embed",)),
    (ASKED, ("warm", "store", "generate")),
    (NO_BASELINE, ("embed", "generate")),
    ("not compared: no price for the model top", ("repair",)),
    (EMPTY, ("generate",)),
)
"""Answers with and without a call, a failure after one, and such as nothing can be compared with."""


async def test_only_what_was_asked_counts_as_a_question(ledger: SqlLedger) -> None:
    """All of it costs; ingests, searches, refreshes and preparations are told apart from questions."""
    for number, (note, kinds) in enumerate((*OTHERS, *QUESTIONS)):
        events = tuple(Event(kind, "small", Usage(3), 7, 0.1, "r", prefix="p1") for kind in kinds)  # type: ignore[arg-type]
        bill = Receipt(f"r-{number:02}", START, Account("acme"), events, 7, note, "prices-1", ())
        await ledger.settle(await ledger.hold(buy(0, bill.account)), bill)
    span = Span(START - timedelta(hours=1), START + timedelta(hours=1))
    when = (span.since, span.until, "acme")
    (found,) = await ledger.bills(*when)
    assert (found.receipts, found.others) == (len(OTHERS) + len(QUESTIONS), len(OTHERS))
    (line,) = report("tenant", await ledger.cells(*when), [found], span).lines
    calls = sum(len(kinds) for _, kinds in (*OTHERS, *QUESTIONS))
    assert (line.questions, line.events, line.spent_pico) == (len(QUESTIONS), calls, 7 * calls)
    questions, (whole, *_) = await ledger.cache_use(*when)
    assert (questions, whole.calls) == (len(QUESTIONS), calls)
    receipts = list(await ledger.receipts(*when))
    assert [is_question(it) for it in receipts] == [False] * len(OTHERS) + [True] * len(QUESTIONS)
    assert replay(receipts, Catalogue.load(), Change()).questions == len(QUESTIONS)


async def test_money_of_simulations_is_told_apart(ledger: SqlLedger, clock: Clock) -> None:
    """What they bill counts in budgets; standings and sums say how much of it nobody pays."""
    await ledger.set_budget(budget("tenant", "*", 1000))
    await ledger.set_budget(Budget("all", "", parse_window("90m"), 1000))
    spent = ((3, "acme", "simulated: plain"), (5, "acme", "plain"), (7, "globex", "simulated: plain"))
    for hours, (pico, tenant, reason) in enumerate(spent):
        clock.now = START + timedelta(hours=hours)
        events = (replace(event(pico), reason=reason),)
        await ledger.settle(
            await ledger.hold(buy(pico, Account(tenant))),
            Receipt(f"r-{hours}", clock.now, Account(tenant), events, 0, "", ""),
        )
    standings = {it.charge.whom: (it.posted_pico, it.simulated_pico) for it in await ledger.all_standings()}
    assert standings == {"all": (12, 7), "tenant=acme": (8, 3), "tenant=globex": (7, 7)}
    cells = await ledger.cells(START, START + timedelta(days=1))
    assert [(it.posted_pico, it.simulated, it.simulated_pico) for it in cells] == [(3, 1, 3), (5, 0, 0), (7, 1, 7)]
    clock.forward(days=40)
    assert {it.simulated_pico for it in await ledger.all_standings()} == {0}


async def test_sums_of_the_database_are_those_of_its_receipts(ledger: SqlLedger) -> None:
    dice = random.Random(11)
    for number in range(150):
        receipt = answer_bill(dice, number, dice.choice(("acme", "globex")))
        await ledger.settle(await ledger.hold(buy(0, receipt.account)), receipt)
    when = (START + timedelta(minutes=10), START + timedelta(minutes=80))
    for tenant in ("acme", None):
        receipts = list(await ledger.receipts(*when, tenant))
        decisions = [found for receipt in receipts if (found := decision_of(receipt))]
        assert 20 < len(decisions) < len(receipts)
        groups: dict[tuple[str, str], list[Decision]] = {}
        for decision in decisions:
            groups.setdefault((decision.tier, decision.model), []).append(decision)
        served = await ledger.served(*when, tenant)
        assert [(it.tier, it.model) for it in served] == sorted(groups, key=lambda it: (-len(groups[it]), it))
        for it in served:
            its = groups[it.tier, it.model]
            costs = [decision.receipt.cost_pico for decision in its]
            assert it.questions == len(its)
            assert (it.cost_pico, it.unknown) == (sum(cost or 0 for cost in costs), costs.count(None))
            assert it.baseline_pico == sum(decision.receipt.baseline_pico for decision in its)
            assert it.more_than_one_call == sum(decision.calls > 1 for decision in its)
            assert it.simulated == sum(decision.simulated for decision in its)
            assert it.seconds == pytest.approx(sum(e.seconds for found in its for e in found.receipt.events))
        latest = await ledger.latest(*when, tenant, 7)
        assert latest == [decision.receipt for decision in reversed(decisions[-7:])]
        questions, (whole, *prefixes) = await ledger.cache_use(*when, tenant)
        events = [event for receipt in receipts for event in receipt.events]
        assert (questions, whole) == (len(receipts), used("", events))
        by_prefix = [used(name, [event for event in events if event.prefix == name]) for name in ("p1", "p2")]
        assert sorted(prefixes, key=lambda use: use.prefix) == by_prefix
    empty = (START + timedelta(days=1), START + timedelta(days=2), "acme")
    assert (await ledger.served(*empty), await ledger.latest(*empty, 5)) == ((), [])
    assert await ledger.cache_use(*empty) == (0, (CacheUse("", 0, 0, 0, 0),))


def used(prefix: str, events: list[Event]) -> CacheUse:
    usage = sum((event.usage for event in events), Usage())
    return CacheUse(prefix, len(events), usage.input, usage.cache_read, usage.cache_written)
