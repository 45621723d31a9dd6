"""Requests that may be repeated: with a key of idempotency a question is answered and charged once.

A key buys under a name that the ledger keeps with its claim. Whoever comes with the key again first learns what became
of that purchase: an answer that was lost after it was paid for is not bought a second time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ragkit.errors import ConfigError, LedgerError
from ragkit.ledgers.sql import SqlLedger
from ragkit.nouns import Receipt
from ragkit.receipt import receipt_to_json
from ragkit.settings import Settings
from ragkit_api import problem
from ragkit_api.problem import Problem

Work = Callable[[str], Awaitable[dict[str, Any]]]
"""Answers a request as the purchase of this name."""
SHARE = 0.8
"""The part of a claim's lease that its question may take, so that nobody takes over what still goes on."""
AGAIN = (429, 503)
"""Statuses that ask the caller to come again, and therefore are no answer to keep."""


class Interrupted(Problem):
    """The first request was cut off after it may have been paid for."""

    def __init__(self, receipt: Receipt | None) -> None:
        super().__init__(
            409,
            "interrupted",
            "the first request with this idempotency key was cut off and may have been paid for:"
            " it is not asked a second time, use a new key to ask again",
        )
        self.bill = None if receipt is None else receipt_to_json(receipt)


class Repeated(Problem):
    """The error that the first request got."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status, error["code"], error["message"])
        self.bill = error.get("receipt")


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that is the caller's; `purchase` is the name of what it buys."""

    ledger: SqlLedger
    tenant: str
    key: str
    purchase: str

    async def keep(self, outcome: dict[str, Any]) -> None:
        await self.ledger.finish(self.tenant, self.key, json.dumps(outcome))

    async def fail(self, error: Exception) -> None:
        """Keep an error that was paid for. What cost nothing may be tried again, and so may what nobody can look up."""
        try:
            paid, receipt = await _bought(self.ledger, self.tenant, self.purchase)
            if paid:
                told = Interrupted(receipt) if problem.status(error) in AGAIN else error
                await self.keep({"status": problem.status(told), **problem.body(told)})
            else:
                await self.ledger.abandon(self.tenant, self.key)
        except LedgerError as unknown:
            error.add_note(f"what it has cost could not be looked up, so its key stays claimed: {unknown}")


async def once(ledger: SqlLedger, tenant: str, key: str, request: Any, work: Work) -> dict[str, Any]:
    """The answer to a request, bought at most once; a claim whose owner died is taken over when its lease ends."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    stored = await ledger.begin(tenant, key, digest)
    if stored is not None:
        return _repeated(json.loads(stored))
    claim = Claim(ledger, tenant, key, await ledger.purchase(tenant, key))
    paid, receipt = await _bought(ledger, tenant, claim.purchase)
    if paid:
        lost = Interrupted(receipt)
        await claim.keep({"status": lost.status, **problem.body(lost)})
        raise lost
    if receipt is not None:  # a free answer was lost: asked again, it is another purchase
        await ledger.abandon(tenant, key)
        return await once(ledger, tenant, key, request, work)
    try:
        answer = await work(claim.purchase)
    except Exception as error:
        await claim.fail(error)
        raise
    await claim.keep({"answer": answer})
    return answer


def check_key(key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ConfigError("an Idempotency-Key has 1 to 255 printable characters")
    return key


def check_lease(settings: Settings) -> None:
    """A question must end before its key may be taken over, or it could be asked and paid for twice."""
    deadline, lease = settings.api.deadline, settings.ledger.lease
    if deadline >= SHARE * lease:
        raise ConfigError(
            f"[api] deadline is {deadline:g} s, which has to be below {SHARE:g} of [ledger] lease ({lease:g} s),"
            " or a repeated request could be charged twice: shorten the deadline or lengthen the lease"
        )


async def _bought(ledger: SqlLedger, tenant: str, purchase: str) -> tuple[bool, Receipt | None]:
    """Whether a purchase has cost something, as far as is known, and its receipt."""
    fate = await ledger.fate(purchase)
    receipt = await ledger.receipt(tenant, purchase) if fate == "settled" else None
    free = fate == "nothing" or (receipt is not None and receipt.cost_pico == 0)
    return not free, receipt


def _repeated(stored: dict[str, Any]) -> dict[str, Any]:
    if "error" in stored:
        raise Repeated(stored["status"], stored["error"])
    answer: dict[str, Any] = stored["answer"]
    return answer
