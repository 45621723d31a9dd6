"""Idempotency keys: who claimed one for which request, and the answer it got."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ragkit.errors import IdempotencyConflict, RequestInFlight
from ragkit.ledgers.books import Books

WHOSE = "WHERE tenant = ? AND name = ?"


@dataclass(frozen=True, slots=True)
class Claim:
    """`at` is when it is made and `lapses` when it may be taken over if it is unanswered, in microseconds.

    `owner` tells two claims apart.
    """

    tenant: str
    key: str
    digest: str
    owner: str
    at: int
    lapses: int


def begin(books: Books, claim: Claim) -> str | None:
    """None if the key is the caller's now, else the answer that it got before."""
    whose = (claim.tenant, claim.key)
    found = books.session.execute(f"SELECT digest, lapses, answer FROM idempotency {WHOSE}", whose)  # noqa: S608
    if not found:
        books.session.execute(
            "INSERT INTO idempotency (tenant, name, digest, owner, at, lapses) VALUES (?, ?, ?, ?, ?, ?)",
            (*whose, claim.digest, claim.owner, claim.at, claim.lapses),
        )
        return None
    digest, lapses, answer = found[0]
    if digest != claim.digest:
        raise IdempotencyConflict(
            f"the idempotency key '{claim.key}' was used before with another request: use a new key for a new request"
        )
    if answer is not None:
        return str(answer)
    if lapses > books.now:
        raise RequestInFlight(
            f"the first request with the idempotency key '{claim.key}' is not answered yet: ask again in a moment"
        )
    books.session.execute(
        f"UPDATE idempotency SET owner = ?, lapses = ? {WHOSE}",  # noqa: S608
        (claim.owner, claim.lapses, *whose),
    )
    return None


def finish(books: Books, tenant: str, key: str, answer: str) -> None:
    """Keep the first answer."""
    books.session.execute(
        f"UPDATE idempotency SET answer = ? {WHOSE} AND answer IS NULL",  # noqa: S608
        (answer, tenant, key),
    )


def abandon(books: Books, tenant: str, key: str) -> None:
    books.session.execute(f"DELETE FROM idempotency {WHOSE} AND answer IS NULL", (tenant, key))  # noqa: S608


def undo(books: Books, claim: Claim) -> None:
    """Give back this very claim, not one that somebody else holds on the same key.

    One that was taken over stays for the next one to take: it remembers what may have been bought before.
    """
    this = (claim.tenant, claim.key, claim.owner)
    books.session.execute(
        f"DELETE FROM idempotency {WHOSE} AND owner = ? AND at = ? AND answer IS NULL",  # noqa: S608
        (*this, claim.at),
    )
    books.session.execute(
        f"UPDATE idempotency SET lapses = ? {WHOSE} AND owner = ? AND answer IS NULL",  # noqa: S608
        (books.now, *this),
    )


def purchase(books: Books, tenant: str, key: str) -> str:
    """The name under which a claimed key buys: the same for whoever takes the claim over, another for a later use."""
    rows = books.session.execute(f"SELECT digest, at FROM idempotency {WHOSE}", (tenant, key))  # noqa: S608
    if not rows:
        raise IdempotencyConflict(f"the idempotency key '{key}' was given back meanwhile: ask again")
    return hashlib.sha256(json.dumps([tenant, key, *rows[0]]).encode()).hexdigest()[:32]


def forget(books: Books, before: int) -> None:
    """Drop what is older than anybody may still repeat."""
    books.session.execute("DELETE FROM idempotency WHERE at < ? AND lapses < ?", (before, books.now))
