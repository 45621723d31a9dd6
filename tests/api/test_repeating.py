"""A key of idempotency: whatever cut the first request off, it is paid for once, and what was free is done again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragkit.config import load_settings
from ragkit.errors import ConfigError, LedgerError, RateLimited, RequestInFlight
from ragkit.ledger import Purchase, hold_name
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account, Event, Receipt, Usage
from ragkit_api.app import create_app
from ragkit_api.overload import shutting_down
from ragkit_api.problem import Problem
from ragkit_api.repeating import Interrupted, Repeated, once

ACME = Account("acme")


class Shop:
    """Sells answers: each request is done as it was told, and the ledger knows what it bought."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        self.asked: list[str] = []

    async def ask(self, fail: BaseException | None = None, cost: int | None = 5, *, settles: bool = True) -> Any:
        async def work(purchase: str) -> dict[str, Any]:
            self.asked.append(purchase)
            hold = await self.ledger.hold(Purchase(ACME, 10, "small", hold_id=hold_name(purchase, 0)))
            if settles and cost is not None:
                event = Event("generate", "small", Usage(input=1), cost, 0.1, "asked")
                receipt = Receipt(purchase, datetime.now(UTC), ACME, (event,), 0, "", "")
                await self.ledger.settle(hold, receipt)
            elif settles:
                await self.ledger.release(hold)
            if fail is not None:
                raise fail
            return {"answer": purchase}

        return await once(self.ledger, "acme", "key", {"question": "?"}, work)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def shop(tmp_path: Path, clock: Clock) -> AsyncIterator[Shop]:
    ledger = open_sqlite(tmp_path / "ledger.db", Options(lease=300.0, clock=clock, patience=60.0))
    yield Shop(ledger)
    await ledger.aclose()


async def test_an_answer_is_bought_once(shop: Shop) -> None:
    first = await shop.ask()
    assert await shop.ask() == first
    assert len(shop.asked) == 1


@pytest.mark.parametrize("cost", [5, None], ids=["settled", "held"])
async def test_what_a_dead_process_paid_for_is_not_bought_again(shop: Shop, clock: Clock, cost: int | None) -> None:
    """The end of a process leaves a claim without an outcome, as a cancellation does."""
    with pytest.raises(asyncio.CancelledError):
        await shop.ask(asyncio.CancelledError(), cost or 5, settles=cost is not None)
    with pytest.raises(RequestInFlight):
        await shop.ask()
    clock.forward(301)
    for kind in (Interrupted, Repeated):
        with pytest.raises(kind, match="not asked a second time") as told:
            await shop.ask()
        assert (told.value.status, told.value.code) == (409, "interrupted")
        assert (told.value.bill is not None) == (cost is not None)
    assert len(shop.asked) == 1


@pytest.mark.parametrize("cost", [0, None], ids=["free", "nothing"])
async def test_what_a_dead_process_got_for_nothing_is_done_again(shop: Shop, clock: Clock, cost: int | None) -> None:
    with pytest.raises(asyncio.CancelledError):
        await shop.ask(asyncio.CancelledError(), cost)
    clock.forward(301)
    assert await shop.ask() == {"answer": shop.asked[-1]}
    assert len(shop.asked) == 2


@pytest.mark.parametrize(
    "error",
    [shutting_down, lambda: RateLimited("slow down"), lambda: LedgerError("gone"), lambda: Problem(429, "x", "wait")],
    ids=["drain", "provider", "ledger", "rate"],
)
async def test_come_again_is_never_the_answer(shop: Shop, error: Callable[[], Exception]) -> None:
    failure = error()
    with pytest.raises(type(failure)):
        await shop.ask(failure, None)
    assert await shop.ask() == {"answer": shop.asked[-1]}
    assert len(shop.asked) == 2


async def test_who_was_cut_off_after_paying_is_told_so(shop: Shop) -> None:
    with pytest.raises(Problem, match="being stopped"):
        await shop.ask(shutting_down())
    with pytest.raises(Repeated, match="paid for") as told:
        await shop.ask()
    assert told.value.bill is not None
    assert len(shop.asked) == 1


async def test_an_error_that_was_paid_for_stays_the_answer(shop: Shop) -> None:
    for _ in range(2):
        with pytest.raises(Problem, match="too long"):
            await shop.ask(Problem(504, "deadline_exceeded", "it took too long"))
    assert len(shop.asked) == 1


async def test_what_nobody_can_look_up_stays_claimed(shop: Shop) -> None:
    """A ledger that is away when a question fails must not let its key be used again as if nothing had happened."""
    failing = shop.ask(RuntimeError("broken"))

    async def away(purchase: str) -> Any:
        raise LedgerError("away")

    began = shop.ledger.fate
    seen: list[str] = []

    async def fate(purchase: str) -> Any:
        seen.append(purchase)
        return await (began(purchase) if len(seen) == 1 else away(purchase))

    shop.ledger.fate = fate  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken"):
        await failing
    with pytest.raises(RequestInFlight):
        await shop.ask()
    assert len(shop.asked) == 1


@pytest.mark.parametrize(("deadline", "lease", "fits"), [(120, 151, True), (120, 150, False), (300, 300, False)])
def test_a_question_must_end_before_its_key_lapses(
    tmp_path: Path, deadline: float, lease: float, *, fits: bool
) -> None:
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path},
        "api": {"deadline": deadline},
        "ledger": {"lease": lease},
    }
    settings = load_settings(environment={}, overrides=overrides)
    if fits:
        assert create_app(settings)
        return
    with pytest.raises(ConfigError, match=r"has to be below 0.8 of \[ledger\] lease"):
        create_app(settings)
