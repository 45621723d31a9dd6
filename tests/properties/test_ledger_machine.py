"""Under any order of holds, settlements, releases, lapses, crashes and budget changes the books stay right."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from ragkit.budget import Budget
from ragkit.errors import BudgetExceeded
from ragkit.ledger import Hold, Purchase
from ragkit.ledgers.schema import APPEND_ONLY
from ragkit.ledgers.sql import Options
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account, Event, Receipt, Usage
from ragkit.window import parse_window

TENANTS = st.sampled_from(["acme", "globex"])
AMOUNTS = st.integers(1, 60)
MEMORY = Path("/dev/shm")
"""Thousands of commits need not wait for a disk here; what a crash of the machine leaves is another test's matter."""
LEASE = timedelta(minutes=5)
BUDGETS = {
    "all": ("all", "", "total"),
    "day": ("tenant", "*", "day"),
    "acme": ("tenant", "acme", "day"),
    "hour": ("tenant", "*", "hour"),
}


@dataclass
class Entry:
    """The model's idea of a hold: what it counts for, and in which windows."""

    tenant: str
    at: datetime
    amount: int
    state: str = "open"
    posted: int = 0
    overrun: int = 0

    @property
    def counts(self) -> int:
        return self.amount if self.state in ("open", "unresolved") else self.posted


class LedgerMachine(RuleBasedStateMachine):
    holds: Bundle[Hold] = Bundle("holds")
    settled: Bundle[tuple[Hold, Receipt]] = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.now = datetime(2026, 3, 28, 22, 50, tzinfo=UTC)
        self.numbers = iter(range(10**6))
        self.options = Options(
            lease=LEASE.total_seconds(), clock=lambda: self.now, ids=lambda: f"h{next(self.numbers)}"
        )
        self.path = self.folder / "0" / "ledger.db"
        self.ledger = open_sqlite(self.path, self.options)
        self.entries: dict[str, Entry] = {}
        self.limits: dict[str, int] = {}
        self.seen: dict[str, list[Any]] = {}

    def do(self, what: Any) -> Any:
        return self.runner.run(what)

    @rule(name=st.sampled_from(sorted(BUDGETS)), limit=st.none() | st.integers(0, 200))
    def set_budget(self, name: str, limit: int | None) -> None:
        scope, subject, window = BUDGETS[name]
        self.do(self.ledger.set_budget(Budget(scope, subject, parse_window(window), limit)))  # type: ignore[arg-type]
        self.limits.pop(name, None)
        if limit is not None:
            self.limits[name] = limit

    @rule(target=holds, tenant=TENANTS, amount=AMOUNTS)
    def hold(self, tenant: str, amount: int) -> Any:
        fits = all(used + amount <= limit for used, limit, _ in self.standing(tenant))
        try:
            hold = self.do(self.ledger.hold(Purchase(Account(tenant), amount, "m")))
        except BudgetExceeded:
            assert not fits
            return Hold("refused", Purchase(Account(tenant), 0, "m"), self.now)
        assert fits
        self.entries[hold.id] = Entry(tenant, self.now, amount)
        return hold

    @rule(tenant=TENANTS, amount=AMOUNTS)
    def hold_and_cancel(self, tenant: str, amount: int) -> None:
        async def cancelled() -> None:
            task = asyncio.create_task(self.ledger.hold(Purchase(Account(tenant), amount, "m")))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.ledger.sweep()

        self.do(cancelled())
        self.lapse()

    @rule(target=settled, hold=consumes(holds), costs=st.lists(st.none() | st.integers(0, 70), min_size=1, max_size=3))
    def settle(self, hold: Hold, costs: list[int | None]) -> Any:
        events = tuple(Event("generate", "m", Usage(), cost, 0.1, "asked") for cost in costs)
        receipt = Receipt(f"r{next(self.numbers)}", self.now, hold.purchase.account, events, 0, "", "")
        self.do(self.ledger.settle(hold, receipt))
        known = sum(cost for cost in costs if cost is not None)
        entry = self.entries.get(hold.id)
        if entry is None:
            entry = self.entries[receipt.id] = Entry(hold.purchase.account.tenant, self.now, 0)
        aside = 0 if entry.state == "released" else entry.amount
        entry.posted = max(known, entry.amount) if None in costs else known
        entry.overrun = max(0, entry.posted - aside)
        entry.state = "settled"
        return hold, receipt

    @rule(done=settled)
    def settle_again(self, done: tuple[Hold, Receipt]) -> None:
        self.do(self.ledger.settle(*done))
        self.do(self.ledger.release(done[0]))

    @rule(hold=holds)
    def release(self, hold: Hold) -> None:
        self.do(self.ledger.release(hold))
        entry = self.entries.get(hold.id)
        if entry is not None and entry.state in ("open", "unresolved"):
            entry.state = "released"

    @rule(minutes=st.integers(1, 90))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.do(self.ledger.sweep())
        self.lapse()

    @rule()
    def crash(self) -> None:
        """The files as they are on the disk at this moment, opened by a new process."""
        torn = self.folder / f"crash-{next(self.numbers)}" / "ledger.db"
        torn.parent.mkdir()
        for suffix in ("", "-wal"):
            if (found := self.path.with_name(f"ledger.db{suffix}")).exists():
                shutil.copy(found, torn.with_name(f"ledger.db{suffix}"))
        self.do(self.ledger.aclose())
        self.path, self.ledger = torn, open_sqlite(torn, self.options)
        self.do(self.ledger.sweep())
        self.lapse()

    def lapse(self) -> None:
        for entry in self.entries.values():
            if entry.state == "open" and entry.at + LEASE <= self.now:
                entry.state = "unresolved"

    def standing(self, tenant: str) -> list[tuple[int, int, int]]:
        """Used, limit and overruns of every budget that applies now."""
        hour = self.now.replace(minute=0)
        day = hour.replace(hour=0)
        every = list(self.entries.values())
        its = [entry for entry in every if entry.tenant == tenant]
        windows = {
            "all": every,
            "day": [entry for entry in its if entry.at >= day],
            "hour": [entry for entry in its if entry.at >= hour],
        }
        windows["acme"] = windows["day"]
        replaced = {"day"} if tenant == "acme" and "acme" in self.limits else set()
        other = {"acme"} if tenant != "acme" else set()
        return [
            (sum(it.counts for it in windows[name]), limit, sum(it.overrun for it in windows[name]))
            for name, limit in self.limits.items()
            if name not in replaced | other
        ]

    @invariant()
    def books_agree(self) -> None:
        audit = self.do(self.ledger.audit())
        assert audit.differences == ()
        assert audit.held_pico == sum(it.amount for it in self.entries.values() if it.state == "open")
        assert audit.held_pico + audit.posted_pico == sum(it.counts for it in self.entries.values())

    @invariant()
    def journals_only_grow(self) -> None:
        if not self.path.exists():
            return
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        for table in APPEND_ONLY:
            rows = list(connection.execute(f"SELECT * FROM {table} ORDER BY rowid"))
            before = self.seen.get(table, [])
            assert rows[: len(before)] == before
            self.seen[table] = rows
        resolved = Counter(row[0] for row in self.seen["resolution"])
        assert set(resolved.values()) <= {1}
        connection.close()

    def teardown(self) -> None:
        self.do(self.ledger.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)


def check(examples: int, steps: int) -> None:
    profile = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(LedgerMachine, settings=profile)


def test_the_books_stay_right() -> None:
    check(examples=15, steps=25)


@pytest.mark.slow
def test_the_books_stay_right_for_long() -> None:
    check(examples=200, steps=50)
