"""One transaction on the ledger: the budgets in force and their balances, read once and written back once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ragkit.budget import Budget, BudgetBook, Charge, Standing
from ragkit.ledgers.worker import Row, Session
from ragkit.nouns import Account
from ragkit.window import Window, bucket, counted_from, resets

Name = tuple[str, str, str]
"""Scope, subject and span: whose balances, by the start of their windows."""

BUDGETS = """SELECT scope, subject, period, seconds, zone, max_pico, on_exceed FROM budget
    WHERE number IN (SELECT max(number) FROM budget GROUP BY scope, subject, period, seconds)
    ORDER BY scope, subject, period, seconds"""


READ_BALANCES = "SELECT scope, subject, span, start, held, posted FROM balance WHERE "
OF_NAME = "scope = ? AND subject = ? AND span = ?"
WRITE_BALANCE = """INSERT INTO balance (scope, subject, span, start, held, posted) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (scope, subject, span, start) DO UPDATE SET held = excluded.held, posted = excluded.posted"""


@dataclass(slots=True)
class Balance:
    held: int = 0
    posted: int = 0
    changed: bool = False


class Books:
    """Reads what it is asked for once per transaction; `flush` writes what changed."""

    def __init__(self, session: Session, now: int, cache: BudgetCache) -> None:
        self.session = session
        self.now = now
        self.retry = False
        self._cache = cache
        self._book: BudgetBook | None = None
        self._balances: dict[Name, dict[int, Balance]] = {}
        self._complete: set[Name] = set()
        self._rows: dict[str, list[Row]] = {}

    @property
    def book(self) -> BudgetBook:
        if self._book is None:
            self._book = self._cache.read(self.session)
        return self._book

    def charges(self, account: Account, models: tuple[str, ...], lane: str) -> tuple[Charge, ...]:
        """The budgets that apply to a purchase; where they stand now is read along, all in one look."""
        charges = self.book.purchase(account, models, lane)
        self._read(charge for charge in charges if charge.budget.window.period not in ("question", "rolling"))
        return charges

    def standing(self, charge: Charge) -> Standing:
        """Where a budget stands now."""
        window = charge.budget.window
        if window.period == "question":
            return Standing(charge, 0, 0, None)
        if window.period == "rolling":
            counted = self._counted(charge)
            held, posted = sum(it.held for it in counted.values()), sum(it.posted for it in counted.values())
            return Standing(charge, held, posted, resets(window, self.now, min(counted, default=None)))
        balance = self._balance(charge.name, bucket(window, self.now))
        return Standing(charge, balance.held, balance.posted, resets(window, self.now))

    def used(self, charge: Charge) -> int:
        """What is held and posted now."""
        window = charge.budget.window
        if window.period == "question":
            return 0
        if window.period == "rolling":
            return sum(it.held + it.posted for it in self._counted(charge).values())
        balance = self._balance(charge.name, bucket(window, self.now))
        return balance.held + balance.posted

    def book_money(self, charges: Iterable[Charge], at: int, *, held: int = 0, posted: int = 0) -> None:
        """Add to the balances of these budgets in the windows that hold `at`."""
        for charge in charges:
            if charge.budget.window.period != "question":
                balance = self._balance(charge.name, bucket(charge.budget.window, at))
                balance.held += held
                balance.posted += posted
                balance.changed = True

    def forget(self) -> None:
        """Read budgets and balances anew; what changed is written first."""
        self.flush()
        self._book = None
        self._balances.clear()
        self._complete.clear()

    def append(self, sql: str, row: Row) -> None:
        """A row for the journals, written with the others of its kind before anything reads them."""
        self._rows.setdefault(sql, []).append(row)

    def write(self) -> None:
        for sql, rows in self._rows.items():
            self.session.insert(sql, rows)
        self._rows.clear()

    def flush(self) -> None:
        self.write()
        changed = [
            (name, start, balance)
            for name, windows in self._balances.items()
            for start, balance in windows.items()
            if balance.changed
        ]
        if changed:
            self.session.insert(WRITE_BALANCE, [(*name, start, it.held, it.posted) for name, start, it in changed])
        for _, _, balance in changed:
            balance.changed = False

    def _read(self, charges: Iterable[Charge]) -> None:
        asked = [(charge.name, bucket(charge.budget.window, self.now)) for charge in charges]
        asked = [(name, start) for name, start in asked if start not in self._balances.get(name, ())]
        if asked:
            where = " OR ".join([f"{OF_NAME} AND start = ?"] * len(asked))
            self._keep(where, [value for name, start in asked for value in (*name, start)])
        for name, start in asked:
            self._balances.setdefault(name, {}).setdefault(start, Balance())

    def _keep(self, where: str, values: Sequence[Any]) -> None:
        for scope, subject, span, start, held, posted in self.session.execute(READ_BALANCES + where, values):
            self._balances.setdefault((scope, subject, span), {}).setdefault(start, Balance(held, posted))

    def _balance(self, name: Name, start: int) -> Balance:
        windows = self._balances.setdefault(name, {})
        if start not in windows:
            if name not in self._complete:
                self._keep(f"{OF_NAME} AND start = ?", (*name, start))
            windows.setdefault(start, Balance())
        return windows[start]

    def _counted(self, charge: Charge) -> dict[int, Balance]:
        """The buckets of a rolling window that have money in them."""
        name, since = charge.name, counted_from(charge.budget.window, self.now)
        if name not in self._complete:
            self._keep(f"{OF_NAME} AND start >= ?", (*name, since))
            self._complete.add(name)
        windows = self._balances.get(name, {})
        return {start: it for start, it in windows.items() if start >= since and (it.held or it.posted)}


class BudgetCache:
    """The budgets as they were last read, kept from one transaction to the next while none has been added."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._session: Session | None = None
        self._book = BudgetBook(())

    def read(self, session: Session) -> BudgetBook:
        number = session.execute("SELECT max(number) FROM budget")[0][0]
        # A session whose transaction failed is not used again, so that no budget is remembered that was never set.
        if (number, session) != (self._number, self._session):
            self._book = BudgetBook(read_budgets(session))
            self._number, self._session = number, session
        return self._book


def read_budgets(session: Session) -> tuple[Budget, ...]:
    """The latest state of every budget, those that were ended included."""
    return tuple(budget_from_row(row) for row in session.execute(BUDGETS))


def budget_from_row(row: Row) -> Budget:
    scope, subject, period, seconds, zone, limit, on_exceed = row
    return Budget(scope, subject, Window(period, zone, seconds), limit, on_exceed)


def budget_to_row(budget: Budget) -> Row:
    window = budget.window
    return budget.scope, budget.subject, window.period, window.seconds, window.zone, budget.limit_pico, budget.on_exceed


def account_to_row(account: Account) -> Row:
    return account.tenant, account.user, account.key, names_to_text(account.tags)


def names_to_text(names: tuple[str, ...]) -> str:
    return json.dumps(names, ensure_ascii=False) if names else "[]"


def account_from_row(row: Sequence[object]) -> Account:
    tenant, user, key, tags = row
    return Account(str(tenant), _text(user), _text(key), tuple(json.loads(str(tags))))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
