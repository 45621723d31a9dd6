"""One question without an event loop, for scripts and notebooks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ragkit.nouns import Answer
from ragkit.rag import Ragkit


def ask(question: str, *, store: Path | str | None = None) -> Answer:
    """Answer one question without an event loop; `store` is the folder of the index."""

    async def once() -> Answer:
        async with Ragkit.open(store) as rag:
            return await rag.ask(question)

    return asyncio.run(once())
