"""What goes wrong between an ingest and its batches: nothing is bought twice, nothing that was bought is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit
from ragkit.batches.job import Asked, Item, Job, Question
from ragkit.batches.journal import JobBusy, Journal
from ragkit.batches.kind import Written
from ragkit.batches.sending import Env
from ragkit.budget import Budget
from ragkit.errors import BudgetExceeded, InvalidAnswer, LedgerError
from ragkit.nouns import Account, Completion, Model, Prefix, Prompt, Request, Route, Schema
from ragkit.vectors import service
from ragkit.vectors.kind import Vectors
from ragkit.vectors.report import Followed
from ragkit.vectors.service import VectorRun
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_ingest.report import report_to_json
from tests.integration.batch_world import DONE, held, invoiced, receipts
from tests.integration.context_world import INTRODUCTION, LUNA, MANUAL, chunks_of, collect, opened, placed, write

EMBEDDER = {"name": "openai", "dimensions": 64, "lane": "batch"}
VECTORS: dict[str, Any] = {"embedder": EMBEDDER, "ingest": {"context": "off"}}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small requests, so that one job has several lines."""
    monkeypatch.setattr(service, "MOST_TEXTS", 2)


class Crash(Exception):
    """Stands for the end of a process."""


async def crashes(rag: Ragkit, twin: RunningTwin, step: str) -> None:
    """A collection of vectors that ends at a step."""

    def at(reached: str) -> None:
        if reached == step:
            raise Crash

    with pytest.raises(Crash):
        await VectorRun(rag.parts, Account(), Env(now=twin.clock.now, at=at)).collect(await rag.store(), ())


def followed(report: Any) -> Followed:
    assert isinstance(report.vectors, Followed)
    return report.vectors


async def settled(folder: Path, twin: RunningTwin) -> bool:
    """Whether the ledger has what the provider invoiced."""
    return sum(it.cost_pico or 0 for it in await receipts(folder)) == invoiced(twin)


@pytest.mark.usefixtures("pairs")
async def test_vectors_that_were_paid_for_and_wait_for_their_place_are_not_bought_again(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted = followed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        await crashes(rag, twin, "collected")
        bought = len(twin.invoice.lines)
        journal = Journal(tmp_path / "kb")
        (job,) = journal.open_jobs("default", "vectors")
        with journal.working_on(job.id):
            busy = followed(await collect(rag))
        journal.close()
        assert isinstance(busy.error, JobBusy) and (busy.given, busy.waiting) == (0, wanted)
        assert [report.job.id for report in busy.jobs] == [job.id]
        done = followed(await collect(rag))
        assert (done.given, done.waiting) == (wanted, 0)
    assert len(twin.invoice.lines) == bought > 1 and await settled(tmp_path, twin)


async def test_vectors_that_are_under_way_are_not_made_at_once_when_the_lane_is_changed(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs, at_once = write(tmp_path, manual=MANUAL), {**VECTORS, "embedder": {**EMBEDDER, "lane": "standard"}}
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted = followed(await rag.ingest(docs)).waiting
    async with opened(tmp_path, twin, **at_once) as rag:
        write(tmp_path, other=MANUAL.replace("Zephyr", "Boreas"))
        report = await rag.ingest(docs)
        live = invoiced(twin)
        assert followed(report).waiting == wanted and report.cost_pico == live > 0
        assert len({chunk.document_id for chunk in await (await rag.store()).pending_dense("default", 99)}) == 1
        twin.clock.advance(DONE)
        done = await collect(rag)
        assert (followed(done).given, followed(done).waiting, done.cost_pico) == (wanted, 0, 0)
        assert await (await rag.store()).pending_dense("default", 9) == ()
        assert (await collect(rag)).vectors is None
    lanes = [line.lane for line in twin.invoice.lines]
    assert invoiced(twin) == live + live // 2 and set(lanes) == {"standard", "batch"}
    assert await settled(tmp_path, twin) and await held(tmp_path) == 0


async def test_what_came_is_applied_though_the_rest_cannot_be_sent_again(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    twin.faults.set([Fault("server_error", path="batch_item", nth=(1,))])
    async with opened(tmp_path, twin) as rag:
        wanted = placed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        twin.faults.add(Fault("not_found", path="/v1/messages/batches", nth=tuple(range(1, 10))))
        half = placed(await collect(rag))
        assert half.error is not None and (half.given, half.waiting) == (wanted - 1, 1)
        assert sum(chunk.context == INTRODUCTION for chunk in (await chunks_of(rag))["manual"]) == wanted - 1
        twin.faults.set([])
        await collect(rag)
        twin.clock.advance(DONE)
        done = placed(await collect(rag))
        assert (done.given, done.waiting, done.error) == (1, 0, None)
    assert len(twin.invoice.lines) == wanted and await settled(tmp_path, twin)


async def test_contexts_that_an_outage_kept_back_at_no_cost_are_asked_for_again(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs, live = write(tmp_path, manual=MANUAL), {"context": "live"}
    twin.faults.set([Fault("server_error", path="/messages")])
    async with opened(tmp_path, twin, ingest=live) as rag:
        outage = placed(await rag.ingest(docs))
        assert (outage.given, outage.cost_pico) == (0, 0) and outage.failed > 1 and invoiced(twin) == 0
    twin.faults.set([Fault("refusal", path="/messages", nth=(1,))])
    async with opened(tmp_path, twin, ingest=live) as rag:
        after = placed(await rag.ingest(docs))
        assert (after.given, after.failed) == (outage.failed - 1, 1)
        assert placed(await rag.ingest(docs)).jobs == (), "a useless one was paid for, and is not asked for again"
    assert await settled(tmp_path, twin)


async def test_useless_vectors_are_billed_once_and_not_bought_again(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Vectors, completion: Completion, asked: Asked) -> Written:
        raise InvalidAnswer("no such vectors")

    monkeypatch.setattr(Vectors, "read", read)
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, **VECTORS) as rag:
        await rag.ingest(docs)
        twin.clock.advance(DONE)
        first = followed(await collect(rag))
        assert (first.given, first.waiting, first.reasons) == (0, 0, ("no such vectors",))
        for again in (followed(await collect(rag)), followed(await rag.ingest(docs)), followed(await collect(rag))):
            assert again.jobs == ()
        write(tmp_path, manual=MANUAL.replace("every 400 hours", "daily"))
        anew = followed(await rag.ingest(docs)).waiting
        assert 0 < anew < len((await chunks_of(rag))["manual"]), "only texts that were not asked for before"
    assert len(twin.invoice.lines) == 1 and await settled(tmp_path, twin)


async def test_one_text_that_is_refused_keeps_no_other_from_its_vector(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    refusal = Fault("bad_request", path="batch_item", nth=(1,))
    twin.faults.set([refusal])
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted = followed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        refused = followed(await collect(rag))
        assert (refused.given, refused.waiting) == (0, 0) and refused.reasons, "this round asks for nothing"
        twin.faults.set([refusal])
        apart = followed(await collect(rag))
        assert apart.waiting == wanted == sum(job.open for job in apart.jobs), "each text by itself"
        twin.clock.advance(DONE)
        half = followed(await collect(rag))
        assert (half.given, half.waiting) == (wanted - 1, 1)
        twin.clock.advance(DONE)
        assert followed(await collect(rag)).given == 1
    assert len(twin.invoice.lines) == wanted and await settled(tmp_path, twin)


async def test_contexts_of_a_former_model_do_not_replace_those_of_the_present_one(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        wanted = placed(await rag.ingest(docs)).waiting
    async with opened(tmp_path, twin, LUNA, ingest={"context": "live"}) as rag:
        assert placed(await rag.ingest(docs)).given == wanted
        (before,) = await (await rag.store()).records("default")
        twin.clock.advance(DONE)
        late = placed(await collect(rag))
        assert (late.given, late.outdated, late.waiting) == (0, wanted, 0)
        assert await (await rag.store()).records("default") == (before,) and LUNA in before.context
    assert await settled(tmp_path, twin)


async def test_a_prefix_stays_as_it_was_held_whatever_another_job_does_with_its_text(tmp_path: Path) -> None:
    journal, model = Journal(tmp_path), Model("m", "anthropic", "small", "m", 10)

    def put(job_id: str, tenant: str, prefix: Prefix) -> Item:
        journal.add_job(Job(job_id, Account(tenant), datetime.now(UTC), k=0, kind="contexts"), ())
        request = Request(Prompt("", prefix, "", (), "q"), model, Schema("none", {}), 10)
        item = Item(job_id, 0, Question("n", "s"), "ready")
        journal.put_asked(item, Asked(request, Route(model, 0.0, ""), (), (), None))
        return item

    held = Prefix("text", (), (), "d1", 5, marked=True, ttl="1h", reason="pays")
    bare = Prefix("text", (), (), "d1", 5, reason="does not pay")
    items = [put("a", "one", held), put("b", "two", bare)]
    assert [it.request.prompt.prefix for it in journal.asked(items)] == [held, bare]
    journal.close()


async def test_a_journal_that_another_one_writes_is_an_error_in_words(tmp_path: Path) -> None:
    journal, other = Journal(tmp_path), Journal(tmp_path)
    journal._connection.set_busy_timeout(1)
    with other.turn(), pytest.raises(LedgerError, match="cannot be read or written"):
        journal.keep_contexts("default", {"n": "t"})
    journal.keep_contexts("default", {"n": "t"})
    journal.close()
    other.close()


async def test_a_report_tells_the_first_error_of_contexts_and_of_vectors(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        await rag.parts.ledger.set_budget(Budget("lane", "batch", parse_window("month", "UTC"), 1, "refuse"))
        refused = await rag.ingest(docs)
    assert refused.error is None and isinstance(refused.first_error, BudgetExceeded)
    told = report_to_json(refused)["context"]
    assert told["failed"] > 0 and "budget" in told["reason"]
