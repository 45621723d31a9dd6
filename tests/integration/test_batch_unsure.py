"""What nobody can be sure of: lost answers, other people's batches, prefixes that pay, prices of another day."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anthropic
import pytest

from ragkit.batch import Result
from ragkit.batches.asking import Questions
from ragkit.batches.journal import Journal
from ragkit.batches.sending import Env
from ragkit.batches.service import Batches
from ragkit.batches.settling import Desk, settle
from ragkit.budget import Budget
from ragkit.checkout import Payer
from ragkit.citation import Rules
from ragkit.errors import LedgerError
from ragkit.ledger import Purchase
from ragkit.money import PICO_PER_USD
from ragkit.window import parse_window
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import DONE, LONG_MANUAL, QUESTIONS, held, invoiced, opened, receipts

HAIKU = "anthropic/claude-haiku-5-5"
SONNET = "anthropic/claude-sonnet-5-5"


class Stopped(BaseException):
    """The process ends here."""


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def stopping_at(wanted: str, twin: RunningTwin) -> Env:
    def at(step: str) -> None:
        if step == wanted:
            raise Stopped

    return Env(now=twin.clock.now, grace=timedelta(), at=at)


def foreign_batch(twin: RunningTwin) -> str:
    """Another user of the same key submits a batch of the same size."""
    params = {"model": "claude-haiku-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    requests = [{"custom_id": f"theirs-{number}", "params": params} for number in range(len(QUESTIONS))]
    with anthropic.Anthropic(api_key="test", base_url=twin.base_url("anthropic"), max_retries=0) as client:
        return client.messages.batches.create(requests=requests).id  # type: ignore[arg-type]


def ours(twin: RunningTwin) -> list[str]:
    return [line.id for line in twin.invoice.lines if "theirs" not in line.id]


@pytest.mark.parametrize("step", ["submitting", "sent"])
async def test_a_batch_of_somebody_else_is_not_taken_for_ours(tmp_path: Path, twin: RunningTwin, step: str) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        foreign = foreign_batch(twin)
        with pytest.raises(Stopped):
            await Batches(rag.parts, rag, stopping_at(step, twin)).submit(QUESTIONS)
        report = await batches.submit(QUESTIONS)
        assert report.parts[0].remote == foreign
        twin.clock.advance(DONE)
        checked = await batches.collect(report.job.id)
        assert checked.parts[0].rejected == (foreign,) and checked.parts[0].remote != foreign
        twin.clock.advance(DONE)
        done = await batches.collect(report.job.id)
    assert done.counts == {"answered": 3}
    assert len(ours(twin)) == len(set(ours(twin))) == 3
    assert done.cost_pico == sum(line.pico or 0 for line in twin.invoice.lines if "theirs" not in line.id)


async def test_a_lost_submission_is_waited_for_before_another_is_made(tmp_path: Path, twin: RunningTwin) -> None:
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        twin.clock.advance(seconds)

    async with opened(tmp_path, twin, HAIKU) as (rag, _):
        with pytest.raises(Stopped):
            await Batches(rag.parts, rag, stopping_at("submitting", twin)).submit(QUESTIONS)
        patient = Batches(rag.parts, rag, Env(now=twin.clock.now, sleep=nap))
        await patient.submit(QUESTIONS)
    assert naps == [30.0]


async def test_two_processes_do_not_work_on_one_job_at_once_but_on_two(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        mine = (await batches.enter(QUESTIONS)).job
        journal = Journal(rag.parts.settings.store.path)
        with journal.working_on(mine.id):
            for work in (batches.submit(QUESTIONS), batches.collect(mine.id), batches.cancel(mine.id)):
                with pytest.raises(LedgerError, match="another process"):
                    await work
            assert (await batches.submit(QUESTIONS[:2])).counts == {"planned": 2}
        journal.close()
        assert (await batches.submit(QUESTIONS)).counts == {"planned": 3}


async def test_equal_questions_that_come_at_once_are_one_job(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        entered = await asyncio.gather(*(batches.enter(QUESTIONS) for _ in range(8)))
    assert len({report.job.id for report in entered}) == 1
    assert sum(not report.resumed for report in entered) == 1


async def test_the_lock_of_a_job_goes_when_it_is_over(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        job = (await batches.submit(QUESTIONS)).job
        locks = list(rag.parts.settings.store.path.glob("batches.db.*.lock"))
        assert [job.id in lock.name for lock in locks] == [True]
        await batches.cancel(job.id)
        twin.clock.advance(DONE)
        assert (await batches.collect(job.id)).job.state == "done"
        assert not locks[0].exists()


@pytest.mark.parametrize("model", [HAIKU, SONNET])
async def test_a_prefix_that_pays_is_shared_and_its_reads_and_writes_cost_half(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    questions = [f"{question} (customer {number})" for number in range(8) for question in QUESTIONS]
    async with opened(tmp_path, twin, model, text=LONG_MANUAL) as (_, batches):
        quote = await batches.price(questions)
        job = (await batches.submit(questions)).job.id
        twin.clock.advance(DONE)
        report = await batches.collect(job)
    assert report.counts == {"answered": 24}
    used = [item.answer["receipt"]["events"][0]["usage"] for item in report.items if item.answer is not None]
    assert sum(usage["cache_write_1h"] > 0 for usage in used) == 1
    assert sum(usage["cache_read"] > 0 for usage in used) == 23
    assert all(item.answer is not None and item.answer["prefix"]["marked"] for item in report.items)
    assert all(item.answer is not None and item.answer["citations"] for item in report.items)
    kept = await receipts(tmp_path)
    assert sum(it.cost_pico or 0 for it in kept) == report.cost_pico == invoiced(twin)
    assert quote.batch_pico < quote.unshared_pico < quote.live_pico
    assert quote.batch_pico <= quote.most_pico


async def test_few_questions_share_nothing_and_say_why(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        quote = await batches.price(QUESTIONS)
    assert quote.batch_pico == quote.unshared_pico == quote.live_pico // 2
    assert "no document is needed by enough of the 3 questions" in quote.prefixes[0]


async def test_a_dry_run_leaves_no_trace(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        await batches.price(QUESTIONS)
        assert batches.jobs() == ()
    assert await receipts(tmp_path) == []
    assert twin.invoice.lines == ()


async def test_a_cancel_that_breaks_off_is_continued(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        with pytest.raises(Stopped):
            await Batches(rag.parts, rag, stopping_at("held", twin)).submit(QUESTIONS)
        (report,) = batches.jobs()
        journal = Journal(rag.parts.settings.store.path)
        journal.put_job(replace(report.job, state="cancelling"))
        journal.close()
        done = await batches.collect(report.job.id)
    assert done.job.state == "done" and done.counts == {"failed": 3}
    assert [part.state for part in done.parts] == ["dropped"]
    assert twin.invoice.lines == ()


async def test_an_answer_of_unknown_cost_posts_its_whole_hold(tmp_path: Path, twin: RunningTwin) -> None:
    """A result without usage was paid for, and nobody knows how much."""
    unreadable = Result("?", reason="no usage", unreadable=True)
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        ledger = rag.parts.ledger
        await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), PICO_PER_USD, "refuse"))
        report = await batches.submit(QUESTIONS[:1])
        (item,), (part,) = report.items, report.parts
        journal = Journal(rag.parts.settings.store.path)
        (asked,) = journal.asked([item])
        journal.close()
        payer = Payer(ledger, rag.parts.catalogue, report.job.account, twin.clock.now())
        desk = Desk(payer, Questions(rag, None, Rules()))
        done = await settle(unreadable, item, asked, replace(part, ended=twin.clock.now()), report.job, desk)
        (standing,) = await ledger.standings(Purchase(report.job.account, 0, "claude-haiku-5-5"))
    assert done.state == "failed" and done.answer is not None
    assert done.answer["receipt"]["cost_usd"] is None
    assert (standing.held_pico, standing.posted_pico) == (0, item.hold_pico)


async def test_a_new_deadline_for_the_same_questions_counts(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        await batches.submit(QUESTIONS)
        deadline = twin.clock.now() + timedelta(hours=5)
        assert (await batches.submit(QUESTIONS, deadline=deadline)).job.deadline == deadline


async def test_a_refusal_that_breaks_off_leaves_no_hold(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        limit = (await batches.price(QUESTIONS)).most_pico * 9 // 10
        month = parse_window("month", "UTC")
        await rag.parts.ledger.set_budget(Budget("tenant", "default", month, limit, "refuse"))
        with pytest.raises(Stopped):
            await Batches(rag.parts, rag, stopping_at("refused", twin)).submit(QUESTIONS)
        assert await held(tmp_path) > 0
        fits = await batches.submit(QUESTIONS[:1])
        assert await held(tmp_path) == fits.held_pico
        assert [report.job.state for report in batches.jobs()] == ["refused", "open"]
