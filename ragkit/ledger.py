"""The seam to the ledger: holds before spending, receipts after. Adapters live in `ragkit.ledgers`.

Append-only. Whatever a method that writes has returned from is durable. All raise `LedgerError` when the ledger cannot
be reached; then nothing billable may be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from ragkit.budget import Budget, BudgetChange, Standing
from ragkit.nouns import Account, Lane, Receipt


@dataclass(frozen=True, slots=True)
class Purchase:
    """What is about to be bought: the scopes it counts against and its worst plausible cost.

    `fallbacks` are further models that may be called for it. `max_cost_pico` is the question's own cap. `lease` is in
    seconds, None for the ledger's default; a batch needs a long one. With a `hold_id` of the caller's own holding twice
    is holding once, so that a caller who was killed in between can do it again.
    """

    account: Account
    amount_pico: int
    model: str
    lane: Lane = "standard"
    fallbacks: tuple[str, ...] = ()
    max_cost_pico: int | None = None
    lease: float | None = None
    hold_id: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside until it is settled, released or, at `expires`, posted as unresolved at its full amount."""

    id: str
    purchase: Purchase
    expires: datetime


Fate = Literal["nothing", "unknown", "settled"]
"""Nothing was sent, something may have been, or it has a receipt."""


def hold_name(purchase: str, number: int) -> str:
    """The name of a hold of a purchase that has one itself."""
    return f"{purchase}-{number}"


class Ledger(Protocol):
    """Where money is held and receipts are kept."""

    async def hold(self, purchase: Purchase) -> Hold:
        """Set money aside in every budget that applies, or in none and raise `BudgetExceeded`.

        Free work holds nothing and is not written. A caller that is cancelled meanwhile leaves no hold behind.
        """
        ...

    async def settle(self, hold: Hold, receipt: Receipt, *more: Hold) -> None:
        """Write the receipt and resolve its holds in one step. An event of unknown cost posts what is left of them.

        Settling twice with one receipt id is settling once. A cost above the holds is posted in full and marked as an
        overrun. A hold that had been posted as unresolved is corrected.
        """
        ...

    async def release(self, hold: Hold) -> None:
        """Give a hold back for which nothing was sent."""
        ...

    async def receipt(self, tenant: str, receipt_id: str) -> Receipt | None: ...

    async def fate(self, purchase: str) -> Fate:
        """What became of a purchase whose receipt and holds have this name (`hold_name`), as far as is known here."""
        ...

    async def standings(self, purchase: Purchase) -> tuple[Standing, ...]:
        """Where every budget stands that the purchase would count against; `ragkit.budget` reads them."""
        ...

    async def aclose(self) -> None: ...


class Budgets(Protocol):
    """Where budgets are kept, with their history."""

    async def set_budget(self, budget: Budget, note: str = "") -> None:
        """Put a budget in force, in place of the one with its scope, subject and window; None as limit ends it.

        What was spent in the current window before counts.
        """
        ...

    async def budgets(self) -> tuple[Budget, ...]: ...

    async def budget_history(self) -> tuple[BudgetChange, ...]: ...

    async def all_standings(self) -> tuple[Standing, ...]:
        """Where every budget stands for every subject that has spent in its current window."""
        ...


class Idempotency(Protocol):
    """Answers kept by idempotency key, so that a repeated request is answered and charged once."""

    async def begin(self, tenant: str, key: str, digest: str) -> str | None:
        """Claim a key for a request body: None for the first use, the stored answer for a repetition.

        Raises `IdempotencyConflict` for another body and `RequestInFlight` while the first use is unanswered; that
        claim lapses with the ledger's lease.
        """
        ...

    async def finish(self, tenant: str, key: str, answer: str) -> None:
        """Store the answer of a claimed key."""
        ...

    async def abandon(self, tenant: str, key: str) -> None:
        """Give a claim back whose request failed before it cost anything."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """Events of a quarter of an hour that have the rest in common, added up.

    `unknown` of them have no known cost. `simulated` of them a simulation has answered: `simulated_pico` of what is
    posted is nobody's money.
    """

    at: datetime
    tenant: str
    model: str
    lane: str
    kind: str
    tier: str
    events: int
    unknown: int
    tokens: int
    posted_pico: int
    simulated: int = 0
    simulated_pico: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """Receipts of a quarter of an hour and a tenant, added up, with what levers saved on them.

    `others` of the receipts are those of no question (`ragkit.bill.is_question`).
    """

    at: datetime
    tenant: str
    receipts: int
    overruns: int
    baseline_pico: int
    savings: tuple[tuple[str, int], ...]
    others: int = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """An event beside an invoice; `hold` names a hold that lapsed, for which there is no receipt.

    `cost_pico` of None is unknown: `posted_pico` is what was set aside for it.
    """

    at: datetime
    receipt: str
    hold: str
    model: str
    posted_pico: int
    cost_pico: int | None
    estimated: bool
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Counted:
    """A prompt that its provider has counted: `tokens`, beside its estimate and bound before any model's factor."""

    model: str
    estimate: int
    bound: int
    tokens: int


class Journal(Protocol):
    """What reports and forecasts read; a tenant of None is all of them."""

    async def cells(self, since: datetime, until: datetime, tenant: str | None) -> tuple[Cell, ...]: ...

    async def bills(self, since: datetime, until: datetime, tenant: str | None) -> tuple[Bill, ...]: ...

    async def receipts(self, since: datetime, until: datetime, tenant: str | None) -> Iterable[Receipt]: ...

    async def postings(self, since: datetime, until: datetime) -> tuple[Posting, ...]: ...

    async def counted(self, most: int) -> tuple[Counted, ...]:
        """The latest prompts of each model, of all tenants; they hold no text."""
        ...
