"""A process that spends: `ledger_child.py PLACE CALLERS SEED MODE`. It says `ready`, waits for a line, then reports."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime

from ragkit.errors import BudgetExceeded
from ragkit.ledger import Hold, Purchase
from ragkit.ledgers.postgres import open_postgres
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account, Event, Receipt, Usage

OPTIONS = Options(patience=60.0)


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def receipt(hold: Hold, cost: int | None) -> Receipt:
    events = (Event("generate", "small", Usage(), cost, 0.1, "asked"),)
    return Receipt(f"r-{hold.id}", datetime.now(UTC), hold.purchase.account, events, 0, "", "")


async def hold_only(ledger: SqlLedger, purchase: Purchase, _: random.Random) -> None:
    try:
        await ledger.hold(purchase)
    except BudgetExceeded as error:
        say(refused=purchase.amount_pico, who=purchase.account.key, by=error.scope)
    else:
        say(admitted=purchase.amount_pico, who=purchase.account.key)


async def hold_and_end(ledger: SqlLedger, purchase: Purchase, dice: random.Random) -> None:
    """One of the ways in which a paid call ends."""
    end = dice.choice(["settle", "release", "cancel"])
    spent = dice.randint(0, purchase.amount_pico)
    task = asyncio.create_task(ledger.hold(purchase))
    if end == "cancel":
        await asyncio.sleep(dice.random() / 50)
        if task.cancel():
            await asyncio.wait([task])
    if task.cancelled():
        return
    try:
        hold = await task
    except BudgetExceeded as error:
        say(refused=purchase.amount_pico, who=purchase.account.key, by=error.scope)
        return
    await asyncio.sleep(dice.random() / 50)
    if end == "settle":
        await ledger.settle(hold, receipt(hold, spent))
        say(posted=spent)
    else:
        await ledger.release(hold)


async def spend_until_killed(ledger: SqlLedger, purchase: Purchase, dice: random.Random) -> None:
    while True:
        hold = await ledger.hold(purchase)
        say(held=hold.id)
        await asyncio.sleep(dice.random() / 200)
        await ledger.settle(hold, receipt(hold, 1))
        say(settled=hold.id)


MODES = {"hold": hold_only, "end": hold_and_end, "spend": spend_until_killed}


async def main(place: str, callers: int, seed: int, mode: str) -> None:
    ledger = open_sqlite(place, OPTIONS) if place.endswith(".db") else open_postgres(place, OPTIONS)
    await ledger.budgets()
    dice = random.Random(seed)
    purchases = [
        Purchase(Account(key=f"key-{dice.randint(0, 3)}"), dice.randint(1, 100), "small") for _ in range(callers)
    ]
    say(ready=True)
    await asyncio.to_thread(sys.stdin.readline)
    seeds = [dice.random() for _ in purchases]
    await asyncio.gather(
        *(MODES[mode](ledger, it, random.Random(its)) for it, its in zip(purchases, seeds, strict=True))
    )
    await ledger.aclose()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
