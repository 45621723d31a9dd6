"""Works on a batch in a process of its own that dies at a named step: one order per line of stdin, as JSON.

Everything is imported once and each order runs in a fork, so that dying is quick.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic  # noqa: F401
import google.genai  # noqa: F401
import openai  # noqa: F401

import forks
import service_account
import tests.integration.batch_world as batch_world
from ragkit import Ragkit
from ragkit.batches.sending import Env
from ragkit.batches.service import Batches


def killer(order: dict[str, Any]) -> Env:
    """Dies when a step is reached for the given time."""
    left = {order["step"]: order.get("nth", 1)}

    def at(step: str) -> None:
        if step in left:
            left[step] -= 1
            if left[step] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return Env(now=lambda: datetime.fromisoformat(order["now"]), grace=timedelta(), at=at)


async def work(order: dict[str, Any]) -> None:
    os.environ[service_account.VARIABLE] = str(Path(order["folder"]) / service_account.FILE)
    settings = batch_world.settings(Path(order["folder"]), order["urls"], order["model"])
    async with Ragkit.open(settings) as rag:
        batches = Batches(rag.parts, rag, killer(order))
        if order["action"] == "submit":
            await batches.submit(batch_world.QUESTIONS)
        if order["action"] == "live":
            soon = datetime.fromisoformat(order["now"]) + timedelta(minutes=30)
            await batches.submit(batch_world.QUESTIONS, deadline=soon)
        for report in batches.jobs():
            if order["action"] == "collect" and report.job.state == "open":
                await batches.collect(report.job.id)


def carry_out(order: dict[str, Any]) -> int:
    return forks.end(forks.begin(lambda: asyncio.run(work(order))))


def main() -> None:
    for line in sys.stdin:
        print(carry_out(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()
