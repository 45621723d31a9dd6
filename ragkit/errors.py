"""Everything ragkit raises on purpose.

    RagkitError
    ├── ConfigError            a setting, a file of settings or an argument is wrong
    ├── MissingExtra           an optional package is not installed
    ├── StoreError             the store cannot be read or written
    │   ├── NoIndex            there is none yet
    │   ├── StoreLocked        another process has it open
    │   ├── StoreCorrupt       its files are damaged
    │   └── StoreMismatch      it was built with another embedder, chunking or schema
    ├── LedgerError            the ledger cannot be read or written; nothing billable is sent
    ├── BudgetExceeded         a budget does not hold the worst plausible cost
    ├── UnpricedModel          a model without a price where money must be counted
    ├── NoRoute                no permitted model can take the question
    ├── ProviderError          a model's provider answered with an error
    │   ├── AuthFailed  RateLimited  Unavailable  ContextTooLong  Refused  BadRequest
    │   └── SpendLimitReached  the provider wants money first; final until somebody pays
    ├── InvalidAnswer          the model's answer breaks its schema, also after repair
    ├── WorkerLost             a process that computes was killed, and then the next one
    └── IdempotencyConflict    an idempotency key was used before with another body
        └── RequestInFlight    the first request with this key has not been answered yet

Messages say what to change. `EXIT_CODES` and `HTTP_STATUS` give each class its code; subclasses inherit.
An error raised after tokens were spent carries the receipt of what was spent, already on the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from ragkit.nouns import Receipt, Usage


class RagkitError(Exception):
    """Root of the tree; `str(error)` is one sentence for the user."""

    receipt: Receipt | None = None


class ConfigError(RagkitError): ...


class MissingExtra(RagkitError):
    """An optional package is missing."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'ragkit[{extra}]'")
        self.extra = extra


class StoreError(RagkitError): ...


class NoIndex(StoreError): ...


class StoreLocked(StoreError): ...


class StoreCorrupt(StoreError): ...


class StoreMismatch(StoreError): ...


class LedgerError(RagkitError): ...


class BudgetExceeded(RagkitError):
    """Names the budget that refused; trying again does not help before `resets`, None where it never does.

    `scope` is as in `tenant=acme`, `window` as in `month`; `left_pico` is what could still be bought. `cheaper` says
    that another model may be asked instead, if what it may cost fits.
    """

    scope: str = ""
    window: str = ""
    left_pico: int = 0
    resets: datetime | None = None
    cheaper: bool = False


class UnpricedModel(RagkitError): ...


class NoRoute(RagkitError): ...


class ProviderError(RagkitError):
    """`usage` is what the provider billed for the failed call: None when nobody knows, as after a timeout.

    `sent` tells whether the request left this machine; one that did not costs nothing.
    """

    def __init__(
        self, message: str, *, usage: Usage | None = None, sent: bool = True, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.sent = sent
        self.request_id = request_id


class AuthFailed(ProviderError): ...


class RateLimited(ProviderError):
    """The provider asks to wait; `retry_after` is in seconds, None when it did not say."""

    retry_after: float | None = None


class SpendLimitReached(ProviderError): ...


class Unavailable(ProviderError):
    """Overloaded, broken, unreachable or too slow; `retry_after` as above."""

    retry_after: float | None = None


class ContextTooLong(ProviderError): ...


class Refused(ProviderError): ...


class BadRequest(ProviderError): ...


class InvalidAnswer(RagkitError): ...


class WorkerLost(RagkitError): ...


class IdempotencyConflict(RagkitError): ...


class RequestInFlight(IdempotencyConflict): ...


EXIT_CODES: dict[type[RagkitError], int] = {
    RagkitError: 1,
    ConfigError: 2,
    MissingExtra: 3,
    StoreError: 4,
    StoreLocked: 5,
    LedgerError: 6,
    BudgetExceeded: 7,
    UnpricedModel: 7,
    NoRoute: 8,
    ProviderError: 9,
    InvalidAnswer: 10,
    IdempotencyConflict: 12,
}

PARTIAL_FAILURE = 11
"""Exit code of a command that did its work but could not do all of it (`ingest` with failed files)."""

HTTP_STATUS: dict[type[RagkitError], int] = {
    RagkitError: 500,
    ConfigError: 400,
    MissingExtra: 501,
    StoreError: 503,
    LedgerError: 503,
    BudgetExceeded: 402,
    UnpricedModel: 422,
    NoRoute: 422,
    ProviderError: 502,
    RateLimited: 503,
    InvalidAnswer: 502,
    WorkerLost: 503,
    IdempotencyConflict: 422,
    RequestInFlight: 409,
}


def code_of(error: RagkitError, table: dict[type[RagkitError], int]) -> int:
    """The code of the nearest ancestor that the table names."""
    return next(table[kind] for kind in type(error).__mro__ if kind in table)
