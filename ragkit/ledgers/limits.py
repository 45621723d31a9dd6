"""Budgets in the ledger: setting them, their history, where they stand, and the audit of their balances."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from ragkit.budget import Budget, BudgetChange, Charge, Standing, model_names
from ragkit.ledger import Purchase
from ragkit.ledgers.books import Books, Name, account_from_row, budget_from_row, budget_to_row, read_budgets
from ragkit.ledgers.rows import IS_SIMULATED
from ragkit.window import bucket, counted_from, from_micros

OPEN = """SELECT h.at, h.tenant, h.person, h.access_key, h.tags, h.model, h.fallbacks, h.lane, h.amount
    FROM open_hold o JOIN hold h ON h.id = o.id"""
WHO = "booked, tenant, person, access_key, tags, model, price_row, lane"
POSTED = f"SELECT {WHO}, sum(posted) FROM event WHERE booked >= ? GROUP BY {WHO}"  # noqa: S608
SIMULATED = f"SELECT {WHO}, sum(posted) FROM event WHERE booked >= ? AND {IS_SIMULATED} GROUP BY {WHO}"  # noqa: S608
Entry = tuple[tuple[Charge, ...], int, int, int]
"""What is charged, when, and what is held and posted."""


@dataclass(frozen=True, slots=True)
class Audit:
    """`differences` names the balances that are not the sum of their journal; there should be none."""

    held_pico: int
    posted_pico: int
    open_holds: int
    differences: tuple[str, ...]


def standings(books: Books, purchase: Purchase) -> tuple[Standing, ...]:
    models = (purchase.model, *purchase.fallbacks)
    return tuple(books.standing(charge) for charge in books.charges(purchase.account, models, purchase.lane))


def set_budget(books: Books, budget: Budget, note: str) -> None:
    """Append the budget, then count what was spent in its current window before it was there."""
    books.session.execute(
        "INSERT INTO budget (number, at, note, scope, subject, period, seconds, zone, max_pico, on_exceed)"
        " VALUES ((SELECT coalesce(max(number), 0) + 1 FROM budget), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (books.now, note, *budget_to_row(budget)),
    )
    books.forget()
    span = str(budget.window)
    since = counted_from(budget.window, books.now)
    books.session.execute("DELETE FROM balance WHERE scope = ? AND span = ?", (budget.scope, span))
    for (scope, subject, its_span), start, held, posted in _sums(books, since):
        if scope == budget.scope and its_span == span:
            books.session.execute(
                "INSERT INTO balance (scope, subject, span, start, held, posted) VALUES (?, ?, ?, ?, ?, ?)",
                (scope, subject, span, start, held, posted),
            )


def in_force(books: Books) -> tuple[Budget, ...]:
    return tuple(budget for budget in read_budgets(books.session) if budget.limit_pico is not None)


def history(books: Books) -> tuple[BudgetChange, ...]:
    found = books.session.execute(
        "SELECT at, note, scope, subject, period, seconds, zone, max_pico, on_exceed FROM budget ORDER BY number"
    )
    return tuple(BudgetChange(from_micros(at), budget_from_row(tuple(row)), note) for at, note, *row in found)


def all_standings(books: Books) -> tuple[Standing, ...]:
    """Those of named subjects always, those of `*` for every subject that has a balance now."""
    found = books.session.execute("SELECT DISTINCT scope, subject FROM balance")
    named = {(budget.scope, budget.subject) for budget in in_force(books) if "*" not in budget.subject}
    charges = books.book.charges(sorted(named | set(found)))
    simulated = _simulated(books)
    return tuple(replace(books.standing(charge), simulated_pico=simulated[charge.name]) for charge in charges)


def prune(books: Books) -> None:
    """Drop the balances of windows that are over for a day, and of windows that no budget has any more."""
    since: dict[str, int] = {}
    for budget in in_force(books):
        since[str(budget.window)] = counted_from(budget.window, books.now - 86400 * 10**6)
    for (span,) in books.session.execute("SELECT DISTINCT span FROM balance"):
        before = since.get(span, books.now)
        books.session.execute("DELETE FROM balance WHERE span = ? AND start < ?", (span, before))


def audit(books: Books) -> Audit:
    held = books.session.execute(
        "SELECT count(*), coalesce(sum(h.amount), 0) FROM open_hold o JOIN hold h ON h.id = o.id"
    )
    posted = books.session.execute("SELECT coalesce(sum(posted), 0) FROM event")
    return Audit(int(held[0][1]), int(posted[0][0]), held[0][0], tuple(_differences(books)))


def _differences(books: Books) -> Iterator[str]:
    since = min((counted_from(budget.window, books.now) for budget in in_force(books)), default=books.now)
    sums = {(name, start): (held, posted) for name, start, held, posted in _sums(books, since)}
    kept = {
        ((scope, subject, span), start): (held, posted)
        for scope, subject, span, start, held, posted in books.session.execute(
            "SELECT scope, subject, span, start, held, posted FROM balance"
        )
    }
    for budget in in_force(books):
        span, first = str(budget.window), counted_from(budget.window, books.now)
        for key in sorted(sums.keys() | kept.keys()):
            (scope, _, its_span), start = key
            counted = scope == budget.scope and its_span == span and start >= first
            if counted and sums.get(key, (0, 0)) != kept.get(key, (0, 0)):
                yield f"{key}: {kept.get(key)} kept, {sums.get(key)} in the journals"


def _sums(books: Books, since: int) -> Iterator[tuple[Name, int, int, int]]:
    """What every balance should be, from the journals alone, of windows that begin at `since` or later."""
    return _added(chain(_holds(books), _postings(books, POSTED, since)), since)


def _simulated(books: Books) -> Counter[Name]:
    """What simulations have posted in the current windows, from the journals: balances cannot tell it apart."""
    first = {str(budget.window): counted_from(budget.window, books.now) for budget in in_force(books)}
    since = min(first.values(), default=books.now)
    sums: Counter[Name] = Counter()
    for name, start, _, posted in _added(_postings(books, SIMULATED, since), since):
        if start >= first.get(name[2], books.now):
            sums[name] += posted
    return sums


def _holds(books: Books) -> Iterator[Entry]:
    for at, *who, model, fallbacks, lane, amount in books.session.execute(OPEN):
        yield books.book.purchase(account_from_row(who), (model, *json.loads(fallbacks)), lane), at, amount, 0


def _postings(books: Books, sql: str, since: int) -> Iterator[Entry]:
    for at, *who, model, price_row, lane, posted in books.session.execute(sql, (since,)):
        yield books.book.purchase(account_from_row(who), model_names(model, price_row), lane), at, 0, int(posted)


def _added(found: Iterable[Entry], since: int) -> Iterator[tuple[Name, int, int, int]]:
    """By budget and window; held, then posted."""
    sums: dict[tuple[Name, int], list[int]] = {}
    for charges, at, held, posted in found:
        for charge in charges:
            window = charge.budget.window
            if window.period != "question" and (start := bucket(window, at)) >= since:
                total = sums.setdefault((charge.name, start), [0, 0])
                total[0] += held
                total[1] += posted
    for (name, start), (held, posted) in sums.items():
        yield name, start, held, posted
