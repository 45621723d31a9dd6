"""Embedders and rerankers on the whole line: receipts and the twin's invoice agree, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit, load_settings
from ragkit.bill import simulated_in
from ragkit.budget import Budget
from ragkit.errors import BudgetExceeded, RagkitError
from ragkit.ledgers import open_ledger
from ragkit.ledgers.sql import SqlLedger
from ragkit.nouns import Answer, Receipt
from ragkit.reports.spending import Span, report
from ragkit.window import Window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin
from ragkit_ingest.pipeline import IngestOptions
from ragkit_ingest.report import report_text, report_to_json

NAMES = ("cohere", "gemini", "openai", "voyage")
EMBEDDERS = ("voyage", "cohere", "openai", "gemini")
PUMP = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
FILTER = "# Filter\n\nThe filter must be replaced every 400 hours. A clogged filter raises the pressure.\n"
QUESTION = "How long does the warranty of the pump last?"


@asynccontextmanager
async def opened(
    tmp_path: Path,
    twin: RunningTwin,
    *,
    embedder: str = "none",
    reranker: str = "none",
    model: str = "extractive",
    **retry: float,
) -> AsyncIterator[Ragkit]:
    name, _, reranking = reranker.partition(":")
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "answer": {"model": model, "minimum_evidence": 0},
        "embedder": {"name": embedder},
        "reranker": {"name": name, "model": reranking},
        "providers": {each: {"api_key": "test", "base_url": twin.base_url(each)} for each in NAMES},
        "retry": retry,
    }
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs" / "pump.md").write_text(PUMP, encoding="utf-8")
    (tmp_path / "docs" / "filter.md").write_text(FILTER, encoding="utf-8")
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        yield rag


def kinds(answer: Answer) -> list[tuple[str, int]]:
    return [(event.kind, event.attempt) for event in answer.receipt.events if event.kind != "generate"]


async def booked(tmp_path: Path) -> tuple[Receipt, ...]:
    """Every receipt on the ledger; all were held for in full."""
    ledger, now = ledger_of(tmp_path), datetime.now(UTC)
    span = now - timedelta(days=1), now + timedelta(days=1)
    try:
        assert sum(bill.overruns for bill in await ledger.bills(*span, None)) == 0
        return tuple(await ledger.receipts(*span, None))
    finally:
        await ledger.aclose()


async def limit(tmp_path: Path, pico: int | None) -> None:
    """Let the tenant spend so much in all."""
    ledger = ledger_of(tmp_path)
    try:
        await ledger.set_budget(Budget("tenant", "default", Window("total"), pico))
    finally:
        await ledger.aclose()


def ledger_of(tmp_path: Path) -> SqlLedger:
    return open_ledger(load_settings(environment={}, overrides={"store": {"path": tmp_path / "kb"}}))


def invoiced(twin: RunningTwin) -> int:
    return twin.invoice.total_pico


def arrived(twin: RunningTwin) -> None:
    """Wait until the twin has a request in hand."""
    while not twin.requests:
        time.sleep(0.01)


def exact(receipt: Receipt | None, twin: RunningTwin) -> None:
    assert receipt is not None
    assert receipt.cost_pico == invoiced(twin) == simulated_in(receipt)
    assert receipt.saved_pico == sum(saving.pico for saving in receipt.savings)


async def test_an_ingest_and_a_search_are_paid_for_and_are_no_questions(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="voyage", reranker="voyage:rerank-3") as rag:
        await rag.ingest(tmp_path / "docs")
        await rag.search(QUESTION)
        await rag.ask(QUESTION)
    assert len(await booked(tmp_path)) == 3
    ledger, now = ledger_of(tmp_path), datetime.now(UTC)
    span = Span(now - timedelta(days=1), now + timedelta(days=1))
    found = report("kind", await ledger.cells(span.since, span.until), await ledger.bills(span.since, span.until), span)
    questions, _ = await ledger.cache_use(span.since, span.until)
    await ledger.aclose()
    assert (found.total.questions, questions) == (1, 1)
    assert found.total.spent_pico == found.total.simulated_pico == invoiced(twin) > 0


@pytest.mark.parametrize("embedder", EMBEDDERS)
async def test_an_ingest_costs_what_the_ledger_and_the_twin_say(
    tmp_path: Path, twin: RunningTwin, embedder: str
) -> None:
    async with opened(tmp_path, twin, embedder=embedder) as rag:
        dry = await rag.ingest(tmp_path / "docs", options=IngestOptions(dry_run=True))
        assert twin.requests == []
        report = await rag.ingest(tmp_path / "docs")
        again = await rag.ingest(tmp_path / "docs")
    assert report.error is None
    assert report.cost_pico == report.simulated_pico == invoiced(twin) > 0
    assert report_to_json(report)["simulated_usd"] == report_to_json(report)["cost_usd"]
    assert "nobody pays it" in report_text(report)
    assert "nobody pays it" not in report_text(dry) + report_text(again)
    assert dry.cost_pico is not None and 0.5 < dry.cost_pico / report.cost_pico < 2
    assert (again.cost_pico, again.usage.input) == (0, 0)
    receipts = await booked(tmp_path)
    assert sum(receipt.cost_pico or 0 for receipt in receipts) == report.cost_pico
    assert all(receipt.saved_pico == 0 and not receipt.savings for receipt in receipts)
    assert sum(event.usage.input for receipt in receipts for event in receipt.events) == report.usage.input


async def test_an_ingest_outlasts_a_limited_rate(tmp_path: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("rate_limit", times=6, retry_after="0")])
    async with opened(tmp_path, twin, embedder="cohere") as rag:
        report = await rag.ingest(tmp_path / "docs")
    assert report.error is None
    assert report.cost_pico == invoiced(twin) > 0


async def test_an_ingest_that_is_cancelled_settles_what_was_under_way(tmp_path: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("slow_first_token", seconds=1.0)])
    async with opened(tmp_path, twin, embedder="voyage") as rag:
        task = asyncio.create_task(rag.ingest(tmp_path / "docs"))
        await asyncio.to_thread(arrived, twin)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (receipt,) = await booked(tmp_path)
        assert receipt.cost_pico == invoiced(twin) > 0
        twin.faults.set([])
        assert (await rag.ingest(tmp_path / "docs")).error is None
        assert (await rag.verify()).without_dense == 0


async def test_a_retry_of_an_ingest_is_on_a_receipt(tmp_path: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("overloaded", times=1, retry_after="0")])
    async with opened(tmp_path, twin, embedder="voyage") as rag:
        report = await rag.ingest(tmp_path / "docs")
    assert report.error is None
    assert report.cost_pico == invoiced(twin)
    (receipt,) = await booked(tmp_path)
    assert [(event.attempt, event.cost_pico == 0) for event in receipt.events] == [(1, True), (2, False)]


async def test_an_ingest_whose_embedder_is_down_says_so_and_goes_on_later(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="cohere") as rag:
        twin.faults.set([Fault("auth")])
        report = await rag.ingest(tmp_path / "docs")
        assert report.error is not None and "[providers.cohere]" in str(report.error)
        assert (report.added, report.cost_pico) == (2, 0)
        assert (await rag.search(QUESTION))[0].chunk.source.endswith("pump.md")
        twin.faults.set([])
        report = await rag.ingest(tmp_path / "docs")
        assert report.error is None
        assert (report.unchanged, report.cost_pico) == (2, invoiced(twin))
        assert (await rag.verify()).without_dense == 0


async def test_a_budget_stops_an_ingest_before_it_overshoots(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="openai") as rag:
        await limit(tmp_path, 1)
        report = await rag.ingest(tmp_path / "docs")
        assert isinstance(report.error, BudgetExceeded)
        assert report.added == 2
        assert twin.requests == []
        await limit(tmp_path, None)
        assert (await rag.ingest(tmp_path / "docs")).cost_pico == invoiced(twin) > 0


async def test_an_answer_lost_on_its_way_costs_an_unknown_sum(tmp_path: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("timeout", billed=True)])
    async with opened(tmp_path, twin, embedder="voyage", timeout=0.2, attempts=1) as rag:
        report = await rag.ingest(tmp_path / "docs")
    assert report.error is not None
    assert report.cost_pico is None
    (receipt,) = await booked(tmp_path)
    assert receipt.cost_pico is None


@pytest.mark.parametrize(
    ("embedder", "reranker"),
    [
        ("none", "cohere:rerank-v5.0-pro"),
        ("voyage", "cohere:rerank-v4.0-fast"),
        ("cohere", "voyage:rerank-3"),
        ("openai", "embedded"),
        ("gemini", "voyage:rerank-2.5-lite"),
    ],
)
async def test_a_question_pays_for_its_parts(tmp_path: Path, twin: RunningTwin, embedder: str, reranker: str) -> None:
    async with opened(tmp_path, twin, embedder=embedder, reranker=reranker) as rag:
        await rag.ingest(tmp_path / "docs")
        twin.reset()
        answer = await rag.ask(QUESTION)
    assert "five years" in answer.text
    assert kinds(answer) == ([] if embedder == "none" else [("embed", 1)]) + [("rerank", 1)]
    exact(answer.receipt, twin)
    assert (("lexical" in " ".join(answer.notes)) == (embedder == "none")) and "retrieval:" not in answer.notes[0]


@pytest.mark.parametrize(("path", "kind"), [("/v1/embeddings", "embed"), ("/v1/rerank", "rerank")])
async def test_a_part_is_tried_again(tmp_path: Path, twin: RunningTwin, path: str, kind: str) -> None:
    async with opened(tmp_path, twin, embedder="voyage", reranker="voyage:rerank-3") as rag:
        await rag.ingest(tmp_path / "docs")
        twin.reset()
        twin.faults.set([Fault("rate_limit", path=path, times=1, retry_after="0")])
        answer = await rag.ask(QUESTION)
    assert [attempt for found, attempt in kinds(answer) if found == kind] == [1, 2]
    exact(answer.receipt, twin)


async def test_without_its_embedder_a_question_is_answered_lexically(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="voyage", reranker="cohere:rerank-v5.0-fast") as rag:
        await rag.ingest(tmp_path / "docs")
        twin.reset()
        twin.faults.set([Fault("server_error", protocol="voyage", retry_after="0")])
        answer = await rag.ask(QUESTION)
    assert "five years" in answer.text
    assert kinds(answer) == [("embed", 1), ("embed", 2), ("rerank", 1)]
    assert any("retrieval is lexical: voyage:voyage-4 failed" in note for note in answer.notes)
    exact(answer.receipt, twin)


async def test_without_its_reranker_a_question_keeps_the_order_of_retrieval(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="openai", reranker="cohere:rerank-v4.0-fast") as rag:
        await rag.ingest(tmp_path / "docs")
        twin.reset()
        twin.faults.set([Fault("empty", protocol="cohere")])
        answer = await rag.ask(QUESTION)
    assert "five years" in answer.text
    assert kinds(answer) == [("embed", 1), ("rerank", 1)]
    assert any("order of retrieval: cohere:rerank-v4.0-fast failed" in note for note in answer.notes)
    exact(answer.receipt, twin)


async def test_all_of_it_together(tmp_path: Path, twin: RunningTwin) -> None:
    """A model, an embedder and a reranker, each of another provider, each with a failure."""
    async with opened(
        tmp_path, twin, embedder="voyage", reranker="cohere:rerank-v5.0-fast", model="openai/gpt-6-luna"
    ) as rag:
        await rag.ingest(tmp_path / "docs")
        twin.reset()
        names = ("voyage", "cohere", "openai")
        twin.faults.set([Fault("rate_limit", protocol=name, times=1, retry_after="0") for name in names])
        answer = await rag.ask(QUESTION)
    assert "five years" in answer.text
    attempts = [(event.kind, event.attempt) for event in answer.receipt.events]
    assert attempts == [(kind, number) for kind in ("embed", "rerank", "generate") for number in (1, 2)]
    exact(answer.receipt, twin)
    assert await booked(tmp_path)


async def test_a_bill_that_nobody_reported_is_estimated_and_marked(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, reranker="cohere:rerank-v4.0-pro") as rag:
        await rag.ingest(tmp_path / "docs")
        twin.faults.set([Fault("missing_usage")])
        answer = await rag.ask(QUESTION)
    (event,) = (event for event in answer.receipt.events if event.kind == "rerank")
    assert event.estimated
    assert event.cost_pico == invoiced(twin) == 2_500_000_000


async def test_a_budget_that_holds_no_part_leaves_a_free_answer(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, embedder="voyage", reranker="voyage:rerank-3") as rag:
        await rag.ingest(tmp_path / "docs")
        await limit(tmp_path, invoiced(twin) + 1)
        twin.reset()
        answer = await rag.ask(QUESTION)
    assert twin.requests == []
    assert "five years" in answer.text
    assert answer.receipt.cost_pico == 0
    assert len([note for note in answer.notes if "budget" in note]) == 2


@pytest.mark.parametrize("part", ["embedder", "reranker"])
async def test_a_model_without_a_price_is_refused_before_anything_is_done(tmp_path: Path, part: str) -> None:
    overrides = {part: {"name": "voyage", "model": "voyage-9"}, "providers": {"voyage": {"api_key": "test"}}}
    with pytest.raises(RagkitError, match="voyage-9"):
        async with Ragkit.open(load_settings(environment={}, overrides=overrides)):
            pass


async def test_a_search_is_billed_without_claiming_to_have_saved_an_answer(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, reranker="voyage:rerank-3") as rag:
        await rag.ingest(tmp_path / "docs")
        hits = await rag.search(QUESTION)
        again = await rag.rerank(QUESTION, hits[::-1])
        assert again == hits
    receipts = await booked(tmp_path)
    assert [len(receipt.events) for receipt in receipts] == [1, 1]
    assert sum(receipt.cost_pico or 0 for receipt in receipts) == invoiced(twin)
    assert all(receipt.saved_pico == 0 for receipt in receipts)


KINDS = (
    *("rate_limit", "server_error", "overloaded", "auth", "billing", "spend_limit", "bad_request", "context_too_long"),
    *("timeout", "reset", "html_error", "malformed_json", "missing_usage", "empty", "slow_first_token"),
)


@pytest.mark.slow
async def test_whatever_fails_a_question_is_answered_and_its_receipt_is_no_less_than_the_invoice(
    tmp_path: Path, twin: RunningTwin
) -> None:
    parts: dict[str, Any] = {"embedder": "voyage", "reranker": "cohere:rerank-v4.0-fast", "timeout": 0.2, "attempts": 2}
    async with opened(tmp_path, twin, **parts) as rag:
        await rag.ingest(tmp_path / "docs")
    for seed in range(15):
        twin.reset()
        dice = random.Random(seed)
        wrong = dice.choices(KINDS, k=dice.randint(1, 4))
        twin.faults.set([Fault(kind, nth=(n,), retry_after="0", seconds=0.1) for n, kind in enumerate(wrong, 1)])
        async with opened(tmp_path, twin, **parts) as rag:  # with breakers that know of no failure yet
            began = time.perf_counter()
            answer = await rag.ask(QUESTION)
        assert time.perf_counter() - began < 5
        assert "five years" in answer.text
        assert 2 <= len(twin.requests) <= 4
        check_against_invoice(answer, twin)


def check_against_invoice(answer: Answer, twin: RunningTwin) -> None:
    """Equal where every cost is known and reported; an estimate is near, and what is unknown is not taken for free."""
    events = [event for event in answer.receipt.events if event.kind != "generate"]
    if any(event.estimated for event in events):
        assert answer.receipt.cost_pico is None or answer.receipt.cost_pico > 0
    elif answer.receipt.cost_pico is None:
        assert sum(event.cost_pico or 0 for event in events) <= invoiced(twin)
    else:
        exact(answer.receipt, twin)
