"""A hold with a name of the caller's own: holding again, after a crash or not, holds the money once."""

from dataclasses import replace
from pathlib import Path

from ragkit.budget import Budget
from ragkit.ledger import Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.nouns import Account
from ragkit.window import parse_window

PURCHASE = Purchase(Account(), 1_000, "claude-haiku-5-5", lane="batch", hold_id="batch-1-item-1")


async def held(path: Path) -> int:
    ledger = open_sqlite(path)
    standings = await ledger.standings(replace(PURCHASE, amount_pico=0))
    await ledger.aclose()
    return sum(standing.held_pico for standing in standings)


async def test_holding_again_in_another_process_holds_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(3):
        ledger = open_sqlite(path)
        await ledger.set_budget(Budget("tenant", "default", parse_window("day", "UTC"), 10_000, "refuse"))
        hold = await ledger.hold(PURCHASE)
        await ledger.aclose()
        assert hold.id == "batch-1-item-1"
        assert await held(path) == 1_000
    ledger = open_sqlite(path)
    await ledger.release(hold)
    await ledger.release(hold)
    await ledger.aclose()
    assert await held(path) == 0
