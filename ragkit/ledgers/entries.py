"""What happens to money, as entries in the journals: hold, settle, release, and the sweep of lapsed holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from ragkit.budget import MAX_PICO, check_question, model_names, refusal
from ragkit.errors import ConfigError
from ragkit.ledger import Fate, Hold, hold_name
from ragkit.ledgers.books import Books, account_from_row, account_to_row, names_to_text
from ragkit.ledgers.rows import insert_events, insert_receipt
from ragkit.nouns import Account, Event, Lane, Receipt, Usage
from ragkit.window import micros

INSERT_HOLD = """INSERT INTO hold (id, at, expires, model, fallbacks, lane, amount, tenant, person, access_key, tags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
FIND_HOLD = """SELECT h.at, h.tenant, h.person, h.access_key, h.tags, h.model, h.fallbacks, h.lane, h.amount,
    coalesce(c.outcome, r.outcome) FROM hold h LEFT JOIN resolution r ON r.hold = h.id
    LEFT JOIN correction c ON c.hold = h.id WHERE h.id = ?"""
SWEEP = 1000
"""Most lapsed holds per sweep; the next one takes the rest."""
NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class _Held:
    """A hold as it stands in the journals; its state is None while nothing has resolved it."""

    id: str
    at: int
    account: Account
    model: str
    models: tuple[str, ...]
    lane: Lane
    amount: int
    state: str | None


def hold(books: Books, wanted: Hold) -> None:
    """Set the amount aside in all budgets or refuse; a hold that is tried again is still one hold."""
    purchase = wanted.purchase
    amount = purchase.amount_pico
    if (books.retry or purchase.hold_id is not None) and _find(books, wanted.id) is not None:
        return
    check_question(amount, purchase.max_cost_pico)
    if amount > MAX_PICO:
        raise ConfigError("one purchase may cost at most nine million dollars: limit the length of its answer")
    models = (purchase.model, *purchase.fallbacks)
    charges = books.charges(purchase.account, models, purchase.lane)
    full = [charge for charge in charges if books.used(charge) + amount > (charge.budget.limit_pico or 0)]
    if full:
        raise refusal(min(map(books.standing, full), key=lambda standing: standing.left_pico), amount)
    books.append(
        INSERT_HOLD,
        (
            wanted.id,
            books.now,
            micros(wanted.expires),
            purchase.model,
            names_to_text(purchase.fallbacks),
            purchase.lane,
            amount,
            *account_to_row(purchase.account),
        ),
    )
    books.append("INSERT INTO open_hold (id, expires) VALUES (?, ?)", (wanted.id, micros(wanted.expires)))
    books.book_money(charges, books.now, held=amount)


def settle(books: Books, receipt: Receipt, hold_ids: Sequence[str]) -> None:
    """Write a receipt and resolve its holds. The bill is written whatever has become of them."""
    if books.session.execute("SELECT 1 FROM receipt WHERE id = ?", (receipt.id,)):
        return
    held = [found for id_ in hold_ids if (found := _find(books, id_)) is not None]
    open_ = [it for it in held if it.state is None]
    late = [it for it in held if it.state == "unresolved"]
    aside = sum(it.amount for it in open_ + late)
    # A hold that was given back by mistake still tells what an unknown cost may have been.
    posted = _posted(receipt.events, aside + sum(it.amount for it in held if it.state == "released"))
    events = list(zip(receipt.events, posted, strict=True))
    booked = min((it.at for it in held), default=micros(receipt.at))
    insert_receipt(books.session, receipt, booked, overrun=max(0, sum(posted) - aside))
    insert_events(books.session, receipt.account, booked, events, receipt_id=receipt.id)
    _post(books, receipt.account, booked, events)
    for it in open_:
        _resolve(books, it, "settled", receipt.id)
    for it in late:
        _correct(books, it, "settled", receipt.id)


def release(books: Books, hold_id: str) -> None:
    """Give back a hold, also one that lapsed meanwhile: its cost is known to be nothing."""
    it = _find(books, hold_id)
    if it is None:
        return
    if it.state is None:
        _resolve(books, it, "released", None)
    elif it.state == "unresolved":
        _correct(books, it, "released", None)


def fate(books: Books, purchase: str) -> Fate:
    """Whether any of its holds may have bought something."""
    if books.session.execute("SELECT 1 FROM receipt WHERE id = ?", (purchase,)):
        return "settled"
    named = (_find(books, hold_name(purchase, number)) for number in count())
    held = takewhile(lambda it: it is not None, named)
    return "unknown" if any(it.state != "released" for it in held if it is not None) else "nothing"


def sweep(books: Books) -> int:
    """Post lapsed holds in full, since nobody knows what they cost; how many there were."""
    lapsed = books.session.execute(
        "SELECT id FROM open_hold WHERE expires <= ? ORDER BY expires LIMIT ?", (books.now, SWEEP)
    )
    for (id_,) in lapsed:
        it = _find(books, id_)
        if it is not None and it.state is None:
            _resolve(books, it, "unresolved", None)
            _adjust(books, it, it.amount, "the hold lapsed: what it paid for is unknown")
    return len(lapsed)


def _posted(events: Sequence[Event], aside: int) -> list[int]:
    """What each event counts for: its cost; the first of unknown cost counts for what the others leave of the holds."""
    left = max(0, aside - sum(event.cost_pico or 0 for event in events))
    posted = []
    for event in events:
        posted.append(left if event.cost_pico is None else event.cost_pico)
        left = 0 if event.cost_pico is None else left
    return posted


def _post(books: Books, account: Account, at: int, events: Sequence[tuple[Event, int]]) -> None:
    """Count events in the budgets of their own model and lane."""
    totals: Counter[tuple[tuple[str, ...], str]] = Counter()
    for event, posted in events:
        totals[model_names(event.model, event.price_row), event.lane] += posted
    for (models, lane), posted in totals.items():
        if posted:
            books.book_money(books.charges(account, models, lane), at, posted=posted)


def _resolve(books: Books, it: _Held, outcome: str, receipt_id: str | None) -> None:
    books.session.execute(
        "INSERT INTO resolution (hold, at, receipt, outcome) VALUES (?, ?, ?, ?)",
        (it.id, books.now, receipt_id, outcome),
    )
    books.session.execute("DELETE FROM open_hold WHERE id = ?", (it.id,))
    books.book_money(books.charges(it.account, it.models, it.lane), it.at, held=-it.amount)


def _correct(books: Books, it: _Held, outcome: str, receipt_id: str | None) -> None:
    """Take back what was posted for a lapsed hold, now that its cost is known."""
    books.session.execute(
        "INSERT INTO correction (hold, at, receipt, outcome) VALUES (?, ?, ?, ?)",
        (it.id, books.now, receipt_id, outcome),
    )
    _adjust(books, it, -it.amount, f"the lapsed hold was {outcome} after all")


def _adjust(books: Books, it: _Held, pico: int, reason: str) -> None:
    """An entry that is not part of any receipt."""
    event = Event("unresolved", it.model, NOTHING, pico, 0.0, reason, lane=it.lane)
    insert_events(books.session, it.account, it.at, [(event, pico)], hold_id=it.id)
    _post(books, it.account, it.at, [(event, pico)])


def _find(books: Books, hold_id: str) -> _Held | None:
    books.write()
    rows = books.session.execute(FIND_HOLD, (hold_id,))
    if not rows:
        return None
    at, *account, model, fallbacks, lane, amount, state = rows[0]
    models = (model, *json.loads(fallbacks))
    return _Held(hold_id, at, account_from_row(account), model, models, lane, amount, state)
