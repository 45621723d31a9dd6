"""The ledger over any SQL session: a writer that commits for many callers at once, and a reader beside it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from ragkit.budget import Budget, BudgetChange, Standing
from ragkit.clock import utc_now
from ragkit.ledger import Bill, Cell, Counted, Fate, Hold, Posting, Purchase
from ragkit.ledgers import claims, entries, limits, overview, rows
from ragkit.ledgers.books import Books, BudgetCache
from ragkit.ledgers.overview import CacheUse, Served
from ragkit.ledgers.postings import read_counted, read_postings
from ragkit.ledgers.worker import Session, Worker
from ragkit.nouns import Receipt
from ragkit.window import micros

T = TypeVar("T")
REPORT_PATIENCE = 300.0
PRUNE_EVERY = 3600 * 10**6
"""Microseconds."""


def random_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Options:
    """`lease` is how long a hold lasts, `patience` how long a caller waits for the ledger; both in seconds."""

    lease: float = 300.0
    patience: float = 10.0
    sweep_every: float = 30.0
    keep_answers: float = 7 * 86400.0
    clock: Callable[[], datetime] = utc_now
    ids: Callable[[], str] = random_id


class SqlLedger:
    """`connect` opens a session for writing or, with False, for reading."""

    def __init__(self, connect: Callable[[bool], Session], options: Options) -> None:
        self._options = options
        self._clock = options.clock
        self._pruned = 0
        self._writer = self._worker(partial(connect, True), writes=True)
        self._reader = self._worker(partial(connect, False), writes=False)

    def _worker(self, connect: Callable[[], Session], *, writes: bool) -> Worker:
        cache = BudgetCache()
        return Worker(
            connect,
            lambda session: Books(session, micros(self._clock()), cache),
            upkeep=self._upkeep if writes else None,
            interval=self._options.sweep_every,
            patience=self._options.patience,
        )

    async def hold(self, purchase: Purchase) -> Hold:
        lease = self._options.lease if purchase.lease is None else purchase.lease
        hold = Hold(purchase.hold_id or self._options.ids(), purchase, self._clock() + timedelta(seconds=lease))
        if purchase.amount_pico > 0:
            release = partial(entries.release, hold_id=hold.id)
            await self._writer.run(lambda books: entries.hold(books, hold), undo=release)
        return hold

    async def settle(self, hold: Hold, receipt: Receipt, *more: Hold) -> None:
        ids = tuple(it.id for it in (hold, *more) if it.purchase.amount_pico > 0)
        await self._writer.run(lambda books: entries.settle(books, receipt, ids))

    async def release(self, hold: Hold) -> None:
        if hold.purchase.amount_pico > 0:
            await self._writer.run(lambda books: entries.release(books, hold.id))

    async def sweep(self) -> int:
        """Post lapsed holds now, without waiting for the next turn; how many there were."""
        return await self._writer.run(entries.sweep)

    async def receipt(self, tenant: str, receipt_id: str) -> Receipt | None:
        return await self._reader.run(lambda books: rows.read_receipt(books.session, tenant, receipt_id))

    async def fate(self, purchase: str) -> Fate:
        return await self._reader.run(lambda books: entries.fate(books, purchase))

    async def standings(self, purchase: Purchase) -> tuple[Standing, ...]:
        return await self._reader.run(lambda books: limits.standings(books, purchase))

    async def set_budget(self, budget: Budget, note: str = "") -> None:
        await self._writer.run(lambda books: limits.set_budget(books, budget, note))

    async def budgets(self) -> tuple[Budget, ...]:
        return await self._reader.run(limits.in_force)

    async def budget_history(self) -> tuple[BudgetChange, ...]:
        return await self._reader.run(limits.history)

    async def all_standings(self) -> tuple[Standing, ...]:
        return await self._reader.run(limits.all_standings)

    async def audit(self) -> limits.Audit:
        """Compare the balances that budgets are checked by with the journals that they are sums of."""
        return await self._reader.run(limits.audit)

    async def begin(self, tenant: str, key: str, digest: str) -> str | None:
        now, lapses = self._clock(), timedelta(seconds=self._options.lease)
        claim = claims.Claim(tenant, key, digest, self._options.ids(), micros(now), micros(now + lapses))
        return await self._writer.run(
            lambda books: claims.begin(books, claim), undo=lambda books: claims.undo(books, claim)
        )

    async def purchase(self, tenant: str, key: str) -> str:
        """The name of the purchase that a claimed key makes; who takes its lapsed claim over gets the same."""
        return await self._reader.run(lambda books: claims.purchase(books, tenant, key))

    async def finish(self, tenant: str, key: str, answer: str) -> None:
        await self._writer.run(lambda books: claims.finish(books, tenant, key, answer))

    async def abandon(self, tenant: str, key: str) -> None:
        await self._writer.run(lambda books: claims.abandon(books, tenant, key))

    async def _journal(self, read: Callable[[Session, rows.Range], T], when: rows.Range) -> T:
        """Reports read much, and nobody's answer waits for them."""
        return await self._reader.run(lambda books: read(books.session, when), patience=REPORT_PATIENCE)

    async def cells(self, since: datetime, until: datetime, tenant: str | None = None) -> tuple[Cell, ...]:
        return await self._journal(rows.read_cells, (micros(since), micros(until), tenant))

    async def bills(self, since: datetime, until: datetime, tenant: str | None = None) -> tuple[Bill, ...]:
        return await self._journal(rows.read_bills, (micros(since), micros(until), tenant))

    async def receipts(self, since: datetime, until: datetime, tenant: str | None = None) -> Iterable[Receipt]:
        return await self._journal(rows.read_receipts, (micros(since), micros(until), tenant))

    async def served(self, since: datetime, until: datetime, tenant: str | None = None) -> tuple[Served, ...]:
        """Who answered, by tier and model."""
        return await self._journal(overview.read_served, (micros(since), micros(until), tenant))

    async def latest(self, since: datetime, until: datetime, tenant: str | None, most: int) -> list[Receipt]:
        """The receipts of the latest answers, newest first."""
        read = partial(overview.read_latest, most=most)
        return await self._journal(read, (micros(since), micros(until), tenant))

    async def cache_use(
        self, since: datetime, until: datetime, tenant: str | None = None
    ) -> tuple[int, tuple[CacheUse, ...]]:
        """How many questions there were and what providers' caches did for them: in all, then by prefix."""
        return await self._journal(overview.read_cache_use, (micros(since), micros(until), tenant))

    async def postings(self, since: datetime, until: datetime) -> tuple[Posting, ...]:
        when = (micros(since), micros(until))
        return await self._reader.run(lambda books: read_postings(books.session, *when), patience=REPORT_PATIENCE)

    async def counted(self, most: int) -> tuple[Counted, ...]:
        return await self._reader.run(lambda books: read_counted(books.session, most))

    async def aclose(self) -> None:
        await self._writer.aclose()
        await self._reader.aclose()

    def _upkeep(self, books: Books) -> None:
        entries.sweep(books)
        if books.now - self._pruned > PRUNE_EVERY:
            limits.prune(books)
            self._pruned = books.now
        claims.forget(books, books.now - int(self._options.keep_answers * 10**6))
