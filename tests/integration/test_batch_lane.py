"""The batch lane over real SDKs and the twin: cited answers at half price, each billed once, failures sent again."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from ragkit.batches.cloud_storage import CloudStorage
from ragkit.batches.job import Question
from ragkit.budget import Budget
from ragkit.errors import BudgetExceeded, ConfigError, RateLimited
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Account
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Options
from service_account import use_account
from tests.integration.batch_world import DONE, MANUAL, QUESTIONS, held, invoiced, opened, receipts

MODELS = (
    "anthropic/claude-haiku-5-5",
    "anthropic/claude-sonnet-5-5",
    "openai/gpt-6-luna",
    "openai-chat/gpt-6-luna",
    "gemini/gemini-3.8-flash",
    "vertex/gemini-3.8-flash",
)
HAIKU = MODELS[0]
LOCAL = "vllm/twin-local"
QUICK = (HAIKU, "openai/gpt-6-luna", "gemini/gemini-3.8-flash", "vertex/gemini-3.8-flash")
EVERY = [pytest.param(model, marks=() if model in QUICK else pytest.mark.slow) for model in MODELS]
ONE = [pytest.param(model, marks=() if model == HAIKU else pytest.mark.slow) for model in MODELS]


class Warranty(BaseModel):
    years: int = Field(ge=0)
    covered: str


@pytest.fixture(autouse=True)
def _account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_account(tmp_path, monkeypatch)


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.mark.parametrize("model", EVERY)
async def test_answers_are_cited_and_billed_at_half_price(tmp_path: Path, twin: RunningTwin, model: str) -> None:
    async with opened(tmp_path, twin, model) as (_, batches):
        report = await batches.submit(QUESTIONS)
        assert report.job.state == "open" and report.counts == {"planned": 3}
        assert invoiced(twin) == 0
        waiting = await batches.collect(report.job.id)
        assert waiting.counts == {"planned": 3}
        twin.clock.advance(DONE)
        done = await batches.collect(report.job.id)
        again = await batches.collect(report.job.id)
    assert done.job.state == "done" and again.items == done.items
    assert done.cost_pico == invoiced(twin) > 0
    for item in done.items:
        assert item.state == "answered" and item.answer is not None, item.reason
        citations = item.answer["citations"]
        assert citations and all(MANUAL[it["start"] : it["end"]] == it["quote"] for it in citations)
        (event,) = item.answer["receipt"]["events"]
        assert event["lane"] == "batch" and event["price_row"].endswith("/batch")
    kept = await receipts(tmp_path)
    assert len(kept) == 3
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin)
    assert all(it.saved_pico == sum(saving.pico for saving in it.savings) for it in kept)
    assert all(any(saving.lever == "batch" and saving.pico > 0 for saving in it.savings) for it in kept)


async def test_the_same_questions_again_continue_the_job(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        first = await batches.submit(QUESTIONS)
        second = await batches.submit(QUESTIONS)
        assert second.resumed and second.job.id == first.job.id
        twin.clock.advance(DONE)
        await batches.collect(first.job.id)
        third = await batches.submit(QUESTIONS)
        assert not third.resumed
    assert len(twin.invoice.lines) == 3


@pytest.mark.parametrize("model", ONE)
@pytest.mark.parametrize("kind", ["server_error", "expired"])
async def test_only_what_failed_is_sent_again(tmp_path: Path, twin: RunningTwin, model: str, kind: str) -> None:
    if "gemini" in model and kind == "expired":
        pytest.skip("a single request does not expire at Gemini")
    twin.faults.set([Fault(kind, path="batch_item", nth=(2,))])
    async with opened(tmp_path, twin, model) as (_, batches):
        job = (await batches.submit(QUESTIONS)).job.id
        twin.clock.advance(DONE)
        partial = await batches.collect(job)
        assert partial.counts == {"planned": 1, "answered": 2}
        assert [part.state for part in partial.parts] == ["collected", "submitted"]
        assert len(twin.invoice.lines) == 2
        twin.clock.advance(DONE)
        done = await batches.collect(job)
    assert done.counts == {"answered": 3}
    assert [item.attempt for item in done.items] == [1, 2, 1]
    assert done.cost_pico == invoiced(twin)
    assert len(twin.invoice.lines) == 3


@pytest.mark.parametrize("without", ["request", "label"])
async def test_an_answer_that_names_no_question_is_paid_for_and_not_bought_again(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    """Of three questions one is answered, one answer has lost its name, and one has no answer at all."""
    twin.faults.set([Fault("server_error", path="batch_item", nth=(2,))])
    whole, spoiled = CloudStorage.rows, list[str]()

    async def rows(self: CloudStorage, uri: str) -> AsyncIterator[dict[str, Any]]:
        async for row in whole(self, uri):
            if row.get("status"):
                continue
            if not spoiled:
                spoiled.append(row["request"]["labels"]["ragkit"])
                row = {"response": row["response"]} if without == "request" else {**row, "request": {}}
            yield row

    monkeypatch.setattr(CloudStorage, "rows", rows)
    async with opened(tmp_path, twin, "vertex/gemini-3.8-flash") as (rag, batches):
        job = (await batches.submit(QUESTIONS)).job.id
        twin.clock.advance(DONE)
        partial = await batches.collect(job)
        assert partial.counts == {"planned": 1, "answered": 1, "failed": 1}
        assert [part.state for part in partial.parts] == ["collected", "submitted"]
        twin.clock.advance(DONE)
        done = await batches.collect(job)
        audit = await rag.parts.ledger.audit()
    assert done.counts == {"answered": 2, "failed": 1}
    (failed,) = [item for item in done.items if item.state == "failed"]
    assert failed.reason == "the batch has an answer that does not say to which question"
    events = [event for receipt in await receipts(tmp_path) for event in receipt.events]
    assert len(events) == len(twin.invoice.lines) == 3
    assert [event.cost_pico for event in events].count(None) == 1
    assert (audit.held_pico, audit.open_holds, audit.differences) == (0, 0, ())


async def test_what_fails_again_and_again_is_given_up_and_its_money_back(tmp_path: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("server_error", path="batch_item")])
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        ledger = rag.parts.ledger
        await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), PICO_PER_USD, "refuse"))
        job = (await batches.submit(QUESTIONS[:1])).job.id
        for _ in range(3):
            assert await held(tmp_path) > 0
            twin.clock.advance(DONE)
            report = await batches.collect(job)
    assert report.job.state == "done" and report.counts == {"failed": 1}
    assert "scripted fault" in report.items[0].reason
    assert await held(tmp_path) == 0
    assert invoiced(twin) == 0


@pytest.mark.parametrize("kind", ["schema_break", "refusal", "length"])
async def test_a_useless_answer_is_billed_and_reported_and_holds_up_nobody(
    tmp_path: Path, twin: RunningTwin, kind: str
) -> None:
    twin.faults.set([Fault(kind, path="batch_item", nth=(1,))])
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        job = (await batches.submit(QUESTIONS)).job.id
        twin.clock.advance(DONE)
        report = await batches.collect(job)
    assert report.counts == {"answered": 2, "failed": 1}
    assert report.items[0].reason and report.items[0].answer is not None
    assert report.cost_pico == invoiced(twin)
    failed = report.items[0].answer["receipt"]
    assert failed["cost_usd"] == failed["baseline_usd"] != "0", "who got no answer has saved nothing"


async def test_all_or_nothing_is_held_and_a_refusal_leaves_no_hold(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        quote = await batches.price(QUESTIONS)
        limit = quote.most_pico * 9 // 10
        ledger = rag.parts.ledger
        await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), limit, "refuse"))
        with pytest.raises(BudgetExceeded):
            await batches.submit(QUESTIONS)
        assert await held(tmp_path) == 0
        (report,) = batches.jobs()
        assert report.job.state == "refused" and report.counts == {"failed": 3}
        await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), quote.most_pico, "refuse"))
        fits = await batches.submit(QUESTIONS)
        assert fits.held_pico == await held(tmp_path) == quote.most_pico
        twin.clock.advance(DONE)
        await batches.collect(fits.job.id)
        assert await held(tmp_path) == 0
    assert len(twin.invoice.lines) == 3


async def test_a_budget_of_the_lane_counts_it(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        await rag.parts.ledger.set_budget(Budget("lane", "batch", parse_window("month", "UTC"), 1, "refuse"))
        with pytest.raises(BudgetExceeded, match="lane"):
            await batches.submit(QUESTIONS)
        assert (await rag.ask(QUESTIONS[0])).citations


@pytest.mark.parametrize("model", ONE)
async def test_a_schema_of_the_caller_is_filled_and_must_be_given_again(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    async with opened(tmp_path, twin, model) as (_, batches):
        job = (await batches.submit(QUESTIONS[:1], schema=Warranty)).job.id
        twin.clock.advance(DONE)
        with pytest.raises(ConfigError, match="schema"):
            await batches.collect(job)
        report = await batches.collect(job, schema=Warranty)
    assert report.items[0].answer is not None
    assert Warranty.model_validate(report.items[0].answer["data"])


async def test_a_refused_submission_is_planned_still_and_sent_later(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        twin.faults.set([Fault("rate_limit", path="/v1/messages/batches", nth=(1,))])
        with pytest.raises(RateLimited):
            await batches.submit(QUESTIONS)
        (report,) = batches.jobs()
        assert [part.state for part in report.parts] == ["planned"]
        assert (await batches.submit(QUESTIONS)).resumed
        twin.clock.advance(DONE)
        assert (await batches.collect(report.job.id)).counts == {"answered": 3}
    assert len(twin.invoice.lines) == 3


async def test_cancelling_keeps_what_was_worked_off_and_gives_the_rest_back(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        ledger = rag.parts.ledger
        await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), PICO_PER_USD, "refuse"))
        job = (await batches.submit(QUESTIONS)).job.id
        twin.clock.advance(410)
        await batches.cancel(job)
        report = await batches.collect(job)
        assert report.job.state == "done" and report.counts == {"answered": 2, "failed": 1}
        assert await held(tmp_path) == 0
    assert report.cost_pico == invoiced(twin)


async def test_near_the_deadline_the_batch_is_stopped_and_the_rest_asked_live(tmp_path: Path) -> None:
    slow = Options(batch_seconds=3 * 3600)
    with running_twin(start=datetime.now(UTC), rate=0, options=slow) as twin:
        async with opened(tmp_path, twin, HAIKU) as (_, batches):
            job = (await batches.submit(QUESTIONS, deadline=twin.clock.now() + timedelta(hours=2))).job.id
            twin.clock.advance(3600)
            assert (await batches.collect(job)).counts == {"planned": 3}
            twin.clock.advance(55 * 60)
            stopping = await batches.collect(job)
            assert stopping.parts[0].cancelled and stopping.counts == {"planned": 3}
            report = await batches.collect(job)
        assert report.job.state == "done" and report.counts == {"answered": 3}
        assert sorted(line.lane for line in twin.invoice.lines) == ["batch", "standard", "standard"]
        assert report.cost_pico == invoiced(twin)


async def test_who_may_not_spend_on_the_live_lane_misses_the_deadline(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (rag, batches):
        live = Budget("lane", "standard", parse_window("month", "UTC"), 1, "refuse")
        await rag.parts.ledger.set_budget(live)
        report = await batches.submit(QUESTIONS, deadline=twin.clock.now() + timedelta(minutes=30))
    assert report.job.state == "done" and report.counts == {"failed": 3}
    assert all(item.reason.startswith("live, for the deadline") for item in report.items)
    assert twin.invoice.lines == ()


async def test_a_deadline_that_no_batch_can_meet_goes_live_at_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        report = await batches.submit(QUESTIONS, deadline=twin.clock.now() + timedelta(minutes=30))
    assert report.job.state == "done" and report.counts == {"answered": 3}
    assert {line.lane for line in twin.invoice.lines} == {"standard"}
    assert report.cost_pico == invoiced(twin)


async def test_free_answers_need_no_batch(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        report = await batches.submit(["What is the capital of Mongolia?"])
    assert report.job.state == "done" and report.parts == ()
    assert report.items[0].answer is not None and report.items[0].answer["abstained"]
    receipt = report.items[0].answer["receipt"]
    assert receipt["savings"] == [{"lever": "abstained", "usd": receipt["baseline_usd"]}]


async def test_a_free_model_that_breaks_the_schema_fails_its_question_and_not_the_job(
    tmp_path: Path, twin: RunningTwin
) -> None:
    twin.faults.set([Fault("schema_break")])
    async with opened(tmp_path, twin, LOCAL) as (rag, batches):
        report = await batches.submit(QUESTIONS)
        audit = await rag.parts.ledger.audit()
    assert (report.job.state, report.counts) == ("done", {"failed": 3})
    assert all("breaks its schema" in item.reason for item in report.items)
    assert all(item.answer is not None and item.answer["receipt"]["cost_usd"] == "0" for item in report.items)
    assert audit.open_holds == 0


async def test_bad_questions_are_refused_before_anything_happens(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        for questions in ((), [Question("a", "x"), Question("a", "y")], [" "]):
            with pytest.raises(ConfigError):
                await batches.submit(questions)
        assert batches.jobs() == ()
        with pytest.raises(ConfigError, match="no job"):
            await batches.status("nonsense")


async def test_the_job_of_another_tenant_is_not_there(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, HAIKU) as (_, batches):
        job = (await batches.submit(QUESTIONS)).job.id
        for call in (batches.status, batches.collect, batches.cancel):
            with pytest.raises(ConfigError, match="there is no job"):
                await call(job, account=Account("other"))
        assert (await batches.status(job)).counts == {"planned": 3}
