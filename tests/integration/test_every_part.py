"""Every model with every reranker over the whole line: the receipt is the twin's invoice, also when things go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit, load_settings
from ragkit.bill import simulated_in
from ragkit.ledgers import open_ledger
from ragkit.nouns import Answer, Receipt
from ragkit.streaming import Said
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin

SERVED = ("anthropic", "cohere", "gemini", "openai", "vllm", "voyage")
MODELS = (
    "anthropic/claude-sonnet-5-5",
    "openai/gpt-6-luna",
    "openai-chat/gpt-6-luna",
    "gemini/gemini-3.8-flash",
    "vllm/twin-local",
)
PUMP = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
FILTER = "# Filter\n\nThe filter must be replaced every 400 hours. A clogged filter raises the pressure.\n"


def no_model(folder: Path) -> str:
    return ""


def cross_encoder(folder: Path) -> str:
    pytest.importorskip("fastembed", reason="the extra 'fastembed' is not installed")
    pytest.importorskip("onnx", reason="the development group is not installed")
    from tiny_onnx import make_cross_encoder

    return str(make_cross_encoder(folder / "tiny"))


def bge(folder: Path) -> str:
    pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    pytest.importorskip("FlagEmbedding", reason="the extra 'bge' is not installed: make test-torch")
    from tiny_bge import make_ranker

    return str(make_ranker(folder / "tiny"))


TORCH = (pytest.mark.torch, pytest.mark.filterwarnings("ignore"))
RERANKERS: tuple[Any, ...] = (
    pytest.param("embedded", no_model, id="embedded"),
    pytest.param("cohere", lambda folder: "rerank-v5.0-pro", id="cohere"),
    pytest.param("voyage", lambda folder: "rerank-3", id="voyage"),
    pytest.param("fastembed", cross_encoder, id="fastembed"),
    pytest.param("bge", bge, id="bge", marks=TORCH),
)


@pytest.fixture(scope="module")
def served() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture
def twin(served: RunningTwin) -> Iterator[RunningTwin]:
    yield served
    served.faults.set([])


@asynccontextmanager
async def opened(folder: Path, twin: RunningTwin, model: str, reranker: dict[str, Any]) -> AsyncIterator[Ragkit]:
    overrides: dict[str, Any] = {
        "store": {"path": folder / "kb"},
        "answer": {"model": model},
        "reranker": reranker,
        "providers": {name: {"api_key": "test", "base_url": twin.base_url(name)} for name in SERVED},
    }
    docs = folder / "docs"
    docs.mkdir()
    (docs / "pump.md").write_text(PUMP, encoding="utf-8")
    (docs / "filter.md").write_text(FILTER, encoding="utf-8")
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(docs)
        twin.reset()
        yield rag


def same(receipt: Receipt | None, twin: RunningTwin) -> None:
    assert receipt is not None
    assert receipt.cost_pico == twin.invoice.total_pico == simulated_in(receipt)
    assert receipt.saved_pico == sum(saving.pico for saving in receipt.savings)


@pytest.mark.parametrize(("name", "make"), RERANKERS)
@pytest.mark.parametrize("model", MODELS)
async def test_the_receipt_is_the_invoice(
    tmp_path: Path, twin: RunningTwin, model: str, name: str, make: Callable[[Path], str]
) -> None:
    """Asked; asked with a retry of each part; asked with a repair; streamed; and left in the middle of a stream."""
    protocol = model.partition("/")[0].removesuffix("-chat")
    async with opened(tmp_path, twin, model, {"name": name, "model": make(tmp_path)}) as rag:
        same((await rag.ask("How long does the warranty of the pump last?")).receipt, twin)

        script(twin, *(Fault("rate_limit", protocol=each, times=1, retry_after="0") for each in {protocol, name}))
        retried = (await rag.ask("What does the warranty of the pump cover?")).receipt
        assert [event.attempt for event in retried.events if event.kind == "generate"] == [1, 2]
        same(retried, twin)

        script(twin, Fault("schema_break", protocol=protocol, times=1))
        repaired = (await rag.ask("What is not covered by the warranty of the pump?")).receipt
        assert [event.kind for event in repaired.events][-2:] == ["generate", "repair"]
        same(repaired, twin)

        script(twin)
        *_, streamed = [signal async for signal in rag.stream("When must the filter be replaced?")]
        assert isinstance(streamed, Answer)
        same(streamed.receipt, twin)

        script(twin)
        async with aclosing(rag.stream("What does a clogged filter raise?")) as signals:
            async for signal in signals:
                if isinstance(signal, Said):
                    break
    assert await last_bill(tmp_path / "kb") == twin.invoice.total_pico


def script(twin: RunningTwin, *faults: Fault) -> None:
    twin.reset()
    twin.faults.set(list(faults))


async def last_bill(folder: Path) -> int | None:
    """What the latest receipt on the ledger says."""
    ledger = open_ledger(load_settings(environment={}, overrides={"store": {"path": folder}}))
    try:
        now = datetime.now(UTC)
        receipts = await ledger.receipts(now - timedelta(hours=1), now + timedelta(hours=1))
        return max(receipts, key=lambda receipt: receipt.at).cost_pico
    finally:
        await ledger.aclose()
