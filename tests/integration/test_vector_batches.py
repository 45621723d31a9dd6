"""Vectors of documents by OpenAI's batches, over the SDK and the twin: words at once, vectors later, at half price."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit
from ragkit.bill import simulated_in
from ragkit.budget import Budget
from ragkit.errors import BudgetExceeded, ConfigError
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Receipt
from ragkit.query import make_query
from ragkit.retrieve import NO_VECTORS
from ragkit.vectors.report import Followed
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_ingest.pipeline import IngestOptions
from ragkit_ingest.report import IngestReport, report_text, report_to_json
from tests.integration.batch_world import DONE, held, invoiced, receipts
from tests.integration.context_world import HAIKU, INTRODUCTION, MANUAL, chunks_of, collect, opened, placed, write
from tests.integration.kills import Child, bought_once, kill, limit

EMBEDDER = {"name": "openai", "dimensions": 64, "lane": "batch"}
VECTORS: dict[str, Any] = {"embedder": EMBEDDER, "ingest": {"context": "off"}}
STEPS = (
    ("start", "job written", 1),
    ("start", "held", 1),
    ("start", "sent", 1),
    ("start", "submitted", 1),
    ("collect", "ended", 1),
    ("collect", "settled", 1),
    ("collect", "collected one", 1),
    ("collect", "filled", 1),
    ("collect", "delivered", 1),
)
QUICK = ("sent", "settled", "filled")


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def followed(report: IngestReport) -> Followed:
    assert isinstance(report.vectors, Followed)
    return report.vectors


async def bought(folder: Path) -> list[Receipt]:
    """The receipts of documents' vectors; those of questions are made at once."""
    return [it for it in await receipts(folder) if any(event.lane == "batch" for event in it.events)]


def batched(twin: RunningTwin) -> int:
    return sum(line.pico or 0 for line in twin.invoice.lines if line.lane == "batch")


async def notes_of(rag: Ragkit, question: str) -> tuple[str, ...]:
    answer = await rag.answer(make_query(question, rag.parts.settings))
    return answer.notes


async def test_words_at_once_vectors_later_each_billed_once_at_half_price(tmp_path: Path, twin: RunningTwin) -> None:
    docs, question = write(tmp_path, manual=MANUAL), "When is the flange serviced?"
    async with opened(tmp_path, twin, **VECTORS) as rag:
        await limit(tmp_path, twin, HAIKU)
        foreseen = await rag.ingest(docs, options=IngestOptions(dry_run=True))
        first = await rag.ingest(docs)
        wanted = len((await chunks_of(rag))["manual"])
        assert (followed(first).given, followed(first).waiting) == (0, wanted) and batched(twin) == 0
        assert followed(first).held_pico == await held(tmp_path) >= (foreseen.cost_pico or 0) > 0
        assert NO_VECTORS in await notes_of(rag, question)
        assert followed(await rag.ingest(docs)).waiting == wanted
        twin.clock.advance(DONE)
        done = await collect(rag)
        assert (followed(done).given, followed(done).waiting, followed(done).reasons) == (wanted, 0, ())
        assert followed(done).cost_pico == batched(twin) > 0
        assert 0.8 <= batched(twin) / (foreseen.cost_pico or 1) <= 1.25
        assert NO_VECTORS not in await notes_of(rag, question)
        assert any(hit.dense_rank for hit in await rag.search(question))
        assert followed(await rag.ingest(docs)).jobs == () and await held(tmp_path) == 0
    assert "got one" in report_text(done) and report_to_json(done)["vectors"]["given"] == wanted
    kept = await bought(tmp_path)
    assert {(event.kind, event.lane) for it in kept for event in it.events} == {("embed", "batch")}
    assert sum(it.cost_pico or 0 for it in kept) == sum(map(simulated_in, kept)) == batched(twin)
    assert sum(it.cost_pico or 0 for it in await receipts(tmp_path)) == invoiced(twin)


async def test_vectors_of_replaced_chunks_are_billed_and_not_applied(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, **VECTORS) as rag:
        await rag.ingest(docs)
        write(tmp_path, manual=MANUAL.replace("hours", "days"))
        await rag.ingest(docs)
        twin.clock.advance(DONE)
        done = await collect(rag)
        wanted = len((await chunks_of(rag))["manual"])
    assert (followed(done).given, followed(done).waiting) == (wanted, 0)
    assert "billed, and not applied" in followed(done).reasons[0]
    assert followed(done).cost_pico == batched(twin) > 0


async def test_vectors_come_after_the_contexts_that_they_are_made_with(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, embedder=EMBEDDER) as rag:
        first = await rag.ingest(docs)
        assert followed(first).jobs == () and placed(first).waiting > 0
        twin.clock.advance(DONE)
        second = await collect(rag)
        assert placed(second).given == placed(first).waiting == followed(second).waiting
        twin.clock.advance(DONE)
        third = await collect(rag)
        assert followed(third).given == placed(first).waiting and followed(third).waiting == 0
        store = await rag.store()
        assert await store.pending_dense("default", 10) == ()
    uploads = [it.raw.decode() for it in twin.requests if it.path.endswith("/files")]
    assert len(uploads) == 1 and uploads[0].count(INTRODUCTION) >= placed(first).waiting
    assert sum(it.cost_pico or 0 for it in await receipts(tmp_path)) == invoiced(twin)


async def test_what_failed_for_free_goes_again_and_what_a_budget_refuses_is_not_sent(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    twin.faults.set([Fault("server_error", path="batch_item", nth=(1,))])
    async with opened(tmp_path, twin, **VECTORS) as rag:
        month = parse_window("month", "UTC")
        await rag.parts.ledger.set_budget(Budget("lane", "batch", month, 1, "refuse"))
        refused = await rag.ingest(docs)
        assert isinstance(followed(refused).error, BudgetExceeded) and followed(refused).waiting == 0
        assert not [it for it in twin.requests if it.path.endswith("/batches")]
        await rag.parts.ledger.set_budget(Budget("lane", "batch", month, PICO_PER_USD, "refuse"))
        wanted = followed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        assert followed(await collect(rag)).waiting == wanted > 0 == batched(twin)
        twin.clock.advance(DONE)
        assert followed(await collect(rag)).given == wanted
        (standing,) = await rag.parts.ledger.all_standings()
    assert (standing.held_pico, standing.posted_pico) == (0, batched(twin))


async def test_an_embedder_without_a_batch_lane_is_refused(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, embedder={"lane": "batch"}, ingest={"context": "off"}) as rag:
        with pytest.raises(ConfigError, match="works with openai"):
            await rag.ingest(docs)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child(Path(__file__).with_name("context_child.py"))
    yield child
    child.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that are searchable by their words and lack vectors: a budget let none be bought."""
    folder = tmp_path_factory.mktemp("vectors")

    async def ingest() -> None:
        with running_twin() as twin:
            async with opened(folder, twin, **VECTORS) as rag:
                nothing = Budget("lane", "batch", parse_window("month", "UTC"), 1, "refuse")
                await rag.parts.ledger.set_budget(nothing)
                await rag.ingest(write(folder, manual=MANUAL))
                await rag.parts.ledger.set_budget(Budget("lane", "batch", parse_window("month", "UTC"), None))

    asyncio.run(ingest())
    return folder


@pytest.mark.parametrize(
    ("action", "step", "nth"),
    [pytest.param(*it, marks=() if it[1] in QUICK else (pytest.mark.slow,), id=it[1]) for it in STEPS],
)
async def test_killed_at_a_step_each_vector_is_bought_once_and_arrives(
    tmp_path: Path, twin: RunningTwin, child: Child, index: Path, action: str, step: str, nth: int
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(index, folder)
    await limit(folder, twin, HAIKU)

    run = child.at(twin, folder, model=HAIKU, sections=VECTORS)
    kill(run, twin, "start", (action, step, nth))
    assert run("start") == 0, "nothing is left to be asked for"

    async with opened(folder, twin, **VECTORS) as rag:
        assert await (await rag.store()).pending_dense("default", 10) == ()
        jobs = [report for report in rag.batches.jobs() if report.job.state != "refused"]
    assert [report.job.state for report in jobs] == ["done"]
    kept = await bought(folder)
    assert len(kept) == len(twin.invoice.lines) > 0
    await bought_once(twin, folder, "openai", kept)
