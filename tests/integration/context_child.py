"""Asks for contexts or vectors, or takes them, in a process that dies at a named step; orders as in `batch_child`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import forks
import tests.integration.context_world as context_world
from ragkit import Ragkit
from ragkit.batches.bench import MOST_CHUNKS
from ragkit.contexts.service import ContextRun
from ragkit.nouns import Account
from ragkit.vectors.service import VectorRun
from tests.integration.batch_child import killer


async def work(order: dict[str, Any]) -> None:
    sections = order.get("sections", {})
    settings = context_world.settings(Path(order["folder"]), order["urls"], order["model"], **sections)
    env, most = killer(order), order.get("most", MOST_CHUNKS)
    async with Ragkit.open(settings, clock=env.now) as rag:
        store = await rag.store()
        if settings.embedder.lane == "batch":
            vectors = VectorRun(rag.parts, Account(), env, most)
            await (vectors.start if order["action"] == "start" else vectors.collect)(store, ())
            assert vectors.followed is not None
            error = vectors.followed.error
        else:
            run = ContextRun(rag.parts, Account(), env, most)
            await (run.start if order["action"] == "start" else run.collect)(store)
            error = run.placed.error
        if error is not None:
            raise error


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        print(forks.end(forks.begin(lambda order=order: asyncio.run(work(order)))), flush=True)  # type: ignore[misc]


if __name__ == "__main__":
    main()
