"""An index, a twin and what the twin invoiced, for tests of the batch lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ragkit import Ragkit, load_settings
from ragkit.batches.sending import Env
from ragkit.batches.service import Batches
from ragkit.ledger import Purchase
from ragkit.ledgers import open_ledger
from ragkit.nouns import Account, Receipt
from ragkit.settings import Settings
from ragkit_eval.twin.fixture import RunningTwin
from service_account import write_account

KEYED = ("anthropic", "openai", "gemini", "vllm")
VERTEX = "vertex/"
"""Begins the name of a Gemini model that is asked through Vertex AI."""
MANUAL = """# Pump manual

## Filters

The filter of the pump must be replaced every 400 hours of operation. A clogged filter raises the pressure.

## Warranty

The warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.

## Noise

A humming sound of the pump at start is normal. Grinding means that the bearing of the pump is worn.
"""
PADDING = "\n\nKeep the pump dry, away from frost, and out of reach of those who were not shown how it is used.\n\n"
LONG_MANUAL = MANUAL.replace("\n\n", PADDING * 4)
QUESTIONS = (
    "How long does the warranty of the pump last?",
    "When must the filter of the pump be replaced?",
    "What does grinding of the pump mean?",
)
DONE = 700
"""Seconds after which the twin has worked off a batch."""


def settings(folder: Path, twin_urls: dict[str, str], model: str) -> Settings:
    providers: dict[str, Any] = {name: {"api_key": "test", "base_url": twin_urls[name]} for name in KEYED}
    if model.startswith(VERTEX):
        write_account(folder, twin_urls["token"])
        place = {"vertex_bucket": "gs://bucket-1/batches", "vertex_storage_url": twin_urls["storage"]}
        providers["gemini"] = {"vertex_project": "p1", "base_url": twin_urls["gemini"], **place}
        model = f"gemini/{model.removeprefix(VERTEX)}"
    overrides: dict[str, Any] = {"store": {"path": folder / "kb"}, "answer": {"model": model}, "providers": providers}
    return load_settings(environment={}, overrides=overrides)


def urls(twin: RunningTwin) -> dict[str, str]:
    return {name: twin.base_url(name) for name in (*KEYED, "storage")} | {"token": f"{twin.url}/oauth2/token"}


def ingest(folder: Path, twin: RunningTwin, model: str, text: str = MANUAL) -> None:
    (folder / "manual.md").write_text(text, encoding="utf-8")

    async def once() -> None:
        async with Ragkit.open(settings(folder, urls(twin), model)) as rag:
            await rag.ingest(folder / "manual.md")

    asyncio.run(once())


@asynccontextmanager
async def opened(
    folder: Path, twin: RunningTwin, model: str, *, text: str = MANUAL
) -> AsyncIterator[tuple[Ragkit, Batches]]:
    """The index with a batch lane by the twin's clock."""
    (folder / "manual.md").write_text(text, encoding="utf-8")
    async with Ragkit.open(settings(folder, urls(twin), model)) as rag:
        await rag.ingest(folder / "manual.md")
        yield rag, Batches(rag.parts, rag, Env(now=twin.clock.now, grace=timedelta()))


def invoiced(twin: RunningTwin) -> int:
    amounts = [line.pico for line in twin.invoice.lines]
    assert None not in amounts
    return sum(amount for amount in amounts if amount is not None)


def answered(twin: RunningTwin) -> list[str]:
    """The names of the batch lines on the invoice, without the batch."""
    return sorted(line.id.partition("/")[2] for line in twin.invoice.lines)


async def receipts(folder: Path) -> list[Receipt]:
    """Everything on the ledger."""
    ledger = open_ledger(load_settings(environment={}, overrides={"store": {"path": folder / "kb"}}))
    try:
        now = datetime.now(UTC)
        return list(await ledger.receipts(now - timedelta(days=2), now + timedelta(days=2)))
    finally:
        await ledger.aclose()


async def held(folder: Path) -> int:
    """What is set aside; needs a budget to be counted against."""
    ledger = open_ledger(load_settings(environment={}, overrides={"store": {"path": folder / "kb"}}))
    try:
        standings = await ledger.standings(Purchase(Account(), 0, "claude-haiku-5-5"))
        return sum(standing.held_pico for standing in standings)
    finally:
        await ledger.aclose()
