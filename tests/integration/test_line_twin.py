"""The whole line over real SDKs and the twin: what receipts say is what the twin invoices, to the last pico-dollar."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from ragkit import Ragkit, load_settings
from ragkit.errors import RagkitError
from ragkit.ledgers import open_ledger
from ragkit.nouns import Answer, Receipt
from ragkit.streaming import Found, Routed, Said
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin

SERVED = ("anthropic", "openai", "gemini", "vllm")
MODELS = (
    "anthropic/claude-haiku-5-5",
    "anthropic/claude-sonnet-5-5",
    "anthropic/claude-opus-5-5",
    "openai/gpt-6-luna",
    "openai-chat/gpt-6-luna",
    "gemini/gemini-3.8-flash",
    "vllm/twin-local",
)
MANUAL = """# Pump manual

## Filters

The filter must be replaced every 400 hours of operation. A clogged filter raises the pressure.

## Warranty

The warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.

## Noise

A humming sound at start is normal. Grinding means that the bearing is worn.
"""
QUESTION = "How long does the warranty of the pump last?"


class Warranty(BaseModel):
    years: int = Field(ge=0)
    covered: str


@asynccontextmanager
async def opened(tmp_path: Path, twin: RunningTwin, model: str, **retry: float) -> AsyncIterator[Ragkit]:
    providers = {name: {"api_key": "test", "base_url": twin.base_url(name)} for name in SERVED}
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "answer": {"model": model},
        "providers": providers,
        "retry": retry,
    }
    (tmp_path / "manual.md").write_text(MANUAL, encoding="utf-8")
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "manual.md")
        yield rag


def invoiced(twin: RunningTwin) -> int:
    amounts = [line.pico for line in twin.invoice.lines]
    assert None not in amounts
    return sum(amount for amount in amounts if amount is not None)


def same(receipt: Receipt | None, twin: RunningTwin) -> None:
    assert receipt is not None
    assert receipt.cost_pico == invoiced(twin)
    assert receipt.saved_pico == sum(saving.pico for saving in receipt.savings)


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_is_cited_and_its_receipt_is_the_invoice(tmp_path: Path, twin: RunningTwin, model: str) -> None:
    async with opened(tmp_path, twin, model) as rag:
        answer = await rag.ask(QUESTION)
    assert not answer.abstained
    assert "five years" in answer.text
    assert answer.citations
    assert all(MANUAL[citation.start : citation.end] == citation.quote for citation in answer.citations)
    assert answer.receipt.events[-1].usage.input
    same(answer.receipt, twin)


@pytest.mark.parametrize("model", MODELS)
async def test_a_retry_is_on_the_receipt_and_free(tmp_path: Path, twin: RunningTwin, model: str) -> None:
    async with opened(tmp_path, twin, model) as rag:
        twin.faults.add(Fault("rate_limit", times=1, retry_after="0"))
        answer = await rag.ask(QUESTION)
    attempts = [event for event in answer.receipt.events if event.kind == "generate"]
    assert [event.attempt for event in attempts] == [1, 2]
    assert attempts[0].cost_pico == 0
    same(answer.receipt, twin)


@pytest.mark.parametrize("model", MODELS)
async def test_a_repair_is_billed_like_the_attempt_before_it(tmp_path: Path, twin: RunningTwin, model: str) -> None:
    async with opened(tmp_path, twin, model) as rag:
        twin.faults.add(Fault("schema_break", times=1))
        answer = await rag.ask(QUESTION)
    assert [event.kind for event in answer.receipt.events][-2:] == ["generate", "repair"]
    same(answer.receipt, twin)


@pytest.mark.parametrize("model", MODELS)
async def test_a_refusal_is_an_error_with_the_receipt_of_what_it_cost(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        twin.faults.add(Fault("refusal", times=1))
        with pytest.raises(RagkitError) as error:
            await rag.ask(QUESTION)
    assert error.value.receipt is not None
    assert error.value.receipt.cost_pico == invoiced(twin)


@pytest.mark.parametrize("model", MODELS)
async def test_a_schema_of_the_caller_is_filled_and_checked(tmp_path: Path, twin: RunningTwin, model: str) -> None:
    async with opened(tmp_path, twin, model) as rag:
        answer = await rag.ask(QUESTION, schema=Warranty)
    assert answer.data is not None
    assert Warranty.model_validate(answer.data)
    same(answer.receipt, twin)


@pytest.mark.parametrize("model", ["extractive", *MODELS])
async def test_a_streamed_answer_says_its_verified_statements_and_ends_like_the_other(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as rag:
        *signals, answer = [signal async for signal in rag.stream(QUESTION)]
    assert isinstance(answer, Answer)
    assert [type(signal) for signal in signals[:2]] == [Found, Routed]
    said = [signal for signal in signals if isinstance(signal, Said)]
    assert " ".join(signal.text for signal in said) == answer.text
    assert [citation for signal in said for citation in signal.citations] == list(answer.citations)
    same(answer.receipt, twin)


async def test_who_leaves_a_stream_still_pays_what_was_generated(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, "anthropic/claude-haiku-5-5") as rag:
        signals = rag.stream(QUESTION)
        async for signal in signals:
            if isinstance(signal, Said):
                break
        await signals.aclose()
    (receipt,) = await receipts(tmp_path / "kb")
    assert [event.kind for event in receipt.events][-1] == "generate"
    assert receipt.cost_pico == invoiced(twin)


async def receipts(folder: Path) -> list[Receipt]:
    """Everything on the ledger."""
    ledger = open_ledger(load_settings(environment={}, overrides={"store": {"path": folder}}))
    try:
        now = datetime.now(UTC)
        return list(await ledger.receipts(now - timedelta(hours=1), now + timedelta(hours=1)))
    finally:
        await ledger.aclose()
