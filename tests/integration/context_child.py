"""Asks for contexts, or takes them, in a process of its own that dies at a named step; orders as in `batch_child`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import forks
import tests.integration.context_world as context_world
from ragkit import Ragkit
from ragkit.contexts.service import ContextRun
from ragkit.nouns import Account
from tests.integration.batch_child import killer


async def work(order: dict[str, Any]) -> None:
    settings = context_world.settings(Path(order["folder"]), order["urls"], order["model"])
    env = killer(order)
    async with Ragkit.open(settings, clock=env.now) as rag:
        run = ContextRun(rag.parts, Account(), env)
        await (run.start if order["action"] == "start" else run.collect)(await rag.store())
        if run.placed.error is not None:
            raise run.placed.error


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        print(forks.end(forks.begin(lambda order=order: asyncio.run(work(order)))), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    main()
