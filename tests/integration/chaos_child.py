"""Asks questions until it is killed: one order per line of stdin, as JSON, each carried out in a fork.

It says its process id, then a line per question that has ended, and after the fork's end how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic  # noqa: F401
import psycopg  # noqa: F401
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.calls.attempt import Policy
from ragkit.calls.retry import Retrying
from ragkit.errors import RagkitError
from ragkit.nouns import Account, Query

AT_ONCE = 16
TOPICS = ("warranty", "motor", "filter", "bearing")
# A breaker would stop all questions for half a minute, and a pause between attempts makes no difference here.
POLICY = Policy(attempts=2, deadline=20.0, timeout=4.0, idle=2.0, drain=0.05, backoff=0.01, breaker_failures=10**6)


class Checked(BaseModel):
    part: str
    why: str


def say(**what: object) -> None:
    """A line in one piece, so that lines of several processes never mix and a kill cuts none."""
    os.write(1, (json.dumps(what) + "\n").encode())


async def ask(rag: Ragkit, number: int, dice: random.Random) -> None:
    text = f"Compare the {dice.choice(TOPICS)} of the pump with its {dice.choice(TOPICS)}, case {number}: why so?"
    query = Query(text, Account(user=f"user-{number % 7}", key=f"key-{number % 3}"), schema=Checked)
    task = asyncio.create_task(stream(rag, query) if dice.random() < 0.5 else whole(rag, query))
    leaves = dice.random() < 0.2
    await asyncio.wait({task}, timeout=dice.random() * 0.4 if leaves else None)
    if leaves:
        task.cancel()
    with suppress(RagkitError, asyncio.CancelledError):
        await task
    say(ended=number)


async def whole(rag: Ragkit, query: Query) -> None:
    await rag.answer(query)


async def stream(rag: Ragkit, query: Query) -> None:
    signals = rag.stream(query)
    try:
        async for _ in signals:
            pass
    finally:
        await signals.aclose()


async def work(order: dict[str, Any]) -> None:
    dice = random.Random(order["seed"])
    ledger = {"kind": "postgres", "dsn": order["dsn"]} if order["dsn"] else {"kind": "sqlite"}
    overrides = {
        "store": {"path": Path(order["folder"]) / "kb"},
        "providers": {"anthropic": {"api_key": "test", "base_url": order["url"]}},
        "answer": {"minimum_evidence": 0.0},
        "cache": {"answers": False},
        "ledger": ledger,
    }
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        rag.parts.retrying = Retrying(POLICY)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                await ask(rag, number, random.Random(dice.random()))

        await asyncio.gather(*(one(order["first"] + number) for number in range(order["questions"])))


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(work(json.loads(line)))
                os._exit(0)
            finally:
                os._exit(1)
        say(pid=pid)
        _, status = os.waitpid(pid, 0)
        say(exit=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
