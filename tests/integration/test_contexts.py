"""Contexts of chunks by the batch lane, over real SDKs and the twin: words at once, contexts later, each once."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit
from ragkit.batches.journal import FILE_NAME, Journal
from ragkit.batches.live import AT_ONCE
from ragkit.batches.sending import Env
from ragkit.budget import Budget
from ragkit.contexts.report import Foreseen
from ragkit.contexts.service import ContextRun
from ragkit.errors import BudgetExceeded, ConfigError
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Account, Receipt
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_ingest.pipeline import IngestOptions
from ragkit_ingest.report import report_text, report_to_json
from tests.integration.batch_world import DONE, held, invoiced, receipts
from tests.integration.context_world import (
    FLASH,
    HAIKU,
    INTRODUCTION,
    LUNA,
    MANUAL,
    PARTS,
    SHORT,
    chunks_of,
    collect,
    opened,
    placed,
    write,
)

CREATES = ("/v1/messages/batches", "/v1/batches", ":batchGenerateContent")


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def created(twin: RunningTwin) -> int:
    return len([it for it in twin.requests if it.method == "POST" and it.path.endswith(CREATES)])


async def found(rag: Ragkit, **more: Any) -> int:
    """How many chunks a word of the contexts finds; that they are named elsewhere finds others, too."""
    return sum(hit.sparse_rank is not None for hit in await rag.search("Zephyr", **more))


async def bought(folder: Path) -> list[Receipt]:
    """The receipts of what was paid for."""
    return [receipt for receipt in await receipts(folder) if receipt.cost_pico != 0]


async def limit(rag: Ragkit, pico: int = PICO_PER_USD) -> None:
    """A budget, so that what is held can be seen."""
    await rag.parts.ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), pico, "refuse"))


@pytest.mark.parametrize("model", [HAIKU, LUNA, FLASH])
async def test_words_at_once_contexts_later_each_billed_once_at_half_price(
    tmp_path: Path, twin: RunningTwin, model: str
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, model) as rag:
        await limit(rag)
        first = placed(await rag.ingest(docs))
        assert await found(rag) == 1 and await rag.search("filter")
        assert (first.given, first.failed, first.error) == (0, 0, None)
        assert first.waiting == len((await chunks_of(rag))["manual"]) > 4
        assert first.held_pico == await held(tmp_path) > 0 == invoiced(twin)
        assert placed(await collect(rag)).waiting == first.waiting
        twin.clock.advance(DONE)
        done = placed(await collect(rag))
        assert (done.given, done.waiting, done.outdated, done.failed) == (first.waiting, 0, 0, 0)
        assert done.cost_pico == invoiced(twin) > 0 == await held(tmp_path)
        chunks = (await chunks_of(rag))["manual"]
        assert all(chunk.context == INTRODUCTION and MANUAL[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        assert await found(rag) == len(chunks)
        again = placed(await rag.ingest(docs))
        assert (again.jobs, again.given) == ((), 0)
    assert created(twin) == 1 and {line.lane for line in twin.invoice.lines} == {"batch"}
    kept = await bought(tmp_path)
    assert len(kept) == len(twin.invoice.lines) == len(chunks)
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin)
    events = [event for it in kept for event in it.events]
    assert {(event.kind, event.lane) for event in events} == {("context", "batch")}
    assert all(event.price_row.endswith("/batch") for event in events)


async def test_a_question_by_a_word_of_the_context_quotes_the_original_text(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    question = "When is the flange of the Zephyr turbopump serviced?"
    async with opened(tmp_path, twin) as rag:
        await rag.ingest(docs)
        twin.clock.advance(DONE)
        await collect(rag)
        best = (await rag.search(question))[0].chunk
        assert "The flange is serviced" in best.text and "Zephyr" not in best.text and "Zephyr" in best.context
        answer = await rag.ask(question)
    assert not answer.abstained and any(citation.chunk_id == best.id for citation in answer.citations)
    for citation in answer.citations:
        assert MANUAL[citation.start : citation.end] == citation.quote
    (asked,) = [it for it in twin.requests if it.path.endswith("/v1/messages")]
    assert json.dumps(asked.body).count(INTRODUCTION) <= 1, "a context is for the search, not for the one who answers"


async def test_the_stretch_is_the_same_bytes_for_all_its_chunks_and_is_read_from_the_cache(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        await rag.ingest(docs)
    (sent,) = [it.body["requests"] for it in twin.requests if it.path.endswith(CREATES[0])]
    systems = {json.dumps(each["params"]["system"]) for each in sent}
    assert len(systems) == 1 < len(sent)
    system = json.loads(systems.pop())
    assert system[-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert all(f"The {part} is serviced" in system[-1]["text"] for part in PARTS)
    assert len({json.dumps(each["params"]["messages"]) for each in sent}) == len(sent)
    twin.clock.advance(DONE)
    reads = [line.usage.get("read", 0) for line in twin.invoice.lines]
    assert sum(size > 0 for size in reads) == len(sent) - 1


@pytest.mark.parametrize(("model", "least"), [(HAIKU, 0.4), (LUNA, 0.8)])
async def test_a_dry_run_tells_what_it_will_cost(tmp_path: Path, twin: RunningTwin, model: str, least: float) -> None:
    """Fewer of the reads miss the twin's cache than are reckoned with; where there is no cache, there is no doubt."""
    docs = write(tmp_path, manual=MANUAL, note=SHORT)
    async with opened(tmp_path, twin, model) as rag:
        report = await rag.ingest(docs, options=IngestOptions(dry_run=True))
        foreseen = report.context
        assert isinstance(foreseen, Foreseen) and created(twin) == 0
        assert not (tmp_path / "kb" / FILE_NAME).exists()
        assert "at batch price" in report_text(report) and report_to_json(report)["context"]["estimated"]
        asked = placed(await rag.ingest(docs))
        assert (asked.waiting, asked.held_pico) == (foreseen.chunks, foreseen.most_pico)
        nothing = (await rag.ingest(docs, options=IngestOptions(dry_run=True))).context
        twin.clock.advance(DONE)
        cost = placed(await collect(rag)).cost_pico or 0
        later = (await rag.ingest(docs, options=IngestOptions(dry_run=True, rebuild=True))).context
    assert isinstance(nothing, Foreseen) and isinstance(later, Foreseen)
    assert least <= cost / foreseen.expected_pico <= 1.2 and cost < foreseen.most_pico
    counted = sum(sum(amount for kind, amount in line.usage.items() if kind != "output") for line in twin.invoice.lines)
    assert 0.7 <= counted / foreseen.tokens <= 1.6
    assert (nothing.chunks, later.chunks) == (0, 0), "what is under way, or known, is not bought again"


async def test_results_for_replaced_and_deleted_documents_are_billed_and_not_applied(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs = write(tmp_path, manual=MANUAL, other=MANUAL.replace("Zephyr", "Mistral"), third=MANUAL + "\nThe end.\n")
    async with opened(tmp_path, twin) as rag:
        before = placed(await rag.ingest(docs))
        write(tmp_path, manual=MANUAL.replace("every 4", "every 5"))
        (docs / "other.md").unlink()
        after = placed(await rag.ingest(docs))
        asked = before.waiting // 3
        assert before.waiting == 3 * asked and (created(twin), after.waiting) == (2, 4 * asked)
        twin.clock.advance(DONE)
        report = await collect(rag)
        done = placed(report)
        chunks = await chunks_of(rag)
    assert (done.given, done.outdated, done.waiting) == (2 * asked, 2 * asked, 0)
    assert f"{2 * asked} contexts were billed, and not applied" in report_text(report)
    assert all(chunk.context == INTRODUCTION for name in ("manual", "third") for chunk in chunks[name])
    kept = await bought(tmp_path)
    assert len(kept) == len(twin.invoice.lines) == 4 * asked
    assert sum(it.cost_pico or 0 for it in kept) == done.cost_pico == invoiced(twin)


async def test_a_budget_refuses_before_anything_is_sent(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        dry = (await rag.ingest(docs, options=IngestOptions(dry_run=True))).context
        assert isinstance(dry, Foreseen)
        await limit(rag, dry.most_pico - 1)
        refused = await rag.ingest(docs)
        assert isinstance(placed(refused).error, BudgetExceeded) and refused.added == 1
        assert (await held(tmp_path), created(twin), twin.invoice.lines) == (0, 0, ())
        assert await rag.search("filter"), "it is searchable all the same"
        await limit(rag, dry.most_pico)
        assert placed(await rag.ingest(docs)).error is None
        twin.clock.advance(DONE)
        assert placed(await collect(rag)).waiting == 0 == await held(tmp_path)


async def test_a_context_never_crosses_tenants(tmp_path: Path, twin: RunningTwin) -> None:
    docs, acme, rival = write(tmp_path, manual=MANUAL), Account("acme"), Account("rival")
    async with opened(tmp_path, twin) as rag:
        wanted = placed(await rag.ingest(docs, account=acme)).waiting
        twin.clock.advance(DONE)
        assert placed(await collect(rag, rival)).jobs == ()
        assert placed(await collect(rag, acme)).given == wanted
        assert placed(await rag.ingest(docs, account=rival)).waiting == wanted, "bought by each tenant for itself"
        theirs = (await chunks_of(rag, "rival"))["manual"]
        assert not any(chunk.context for chunk in theirs)
        assert await found(rag, account=rival) == 1
        assert await found(rag, account=acme) == wanted
    assert created(twin) == 2
    journal = Journal(tmp_path / "kb")
    jobs = {tenant: journal.jobs(tenant)[0] for tenant in ("acme", "rival")}
    ours, theirs_too = ({item.question.id for item in journal.all_items(job.id)} for job in jobs.values())
    assert len(ours) == len(theirs_too) == wanted and not ours & theirs_too, "not even the names are the same"
    assert set(journal.contexts("acme", ours).values()) == {INTRODUCTION}
    assert journal.contexts("rival", ours) == journal.contexts("rival", theirs_too) == {}
    journal.close()


async def test_what_did_not_change_is_never_bought_again(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        wanted = placed(await rag.ingest(docs)).waiting
        given = IngestOptions(metadata=(("team", "pumps"),))
        assert placed(await rag.ingest(docs, options=given)).waiting == wanted, "the job is still that one"
        twin.clock.advance(DONE)
        done = placed(await collect(rag))
        assert (done.given, done.outdated) == (wanted, 0), "another revision with the same words gets the same contexts"
        for options in (IngestOptions(rebuild=True), IngestOptions(metadata=(("team", "valves"),))):
            report = placed(await rag.ingest(docs, options=options))
            assert (report.jobs, report.given) == ((), wanted)
        (docs / "manual.md").rename(docs / "gone.txt")
        (docs / "gone.txt").rename(docs / "manual.md")
        assert placed(await rag.ingest(docs)).jobs == ()
        assert await found(rag, filters={"team": "valves"}) == wanted
    assert created(twin) == 1 and len(await bought(tmp_path)) == wanted


async def test_one_chunk_alone_needs_no_context(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, note=SHORT)
    async with opened(tmp_path, twin) as rag:
        assert placed(await rag.ingest(docs)).jobs == ()
    assert created(twin) == 0


@pytest.mark.parametrize("kind", ["refusal", "length", "schema_break"])
async def test_a_useless_context_is_billed_once_and_not_bought_again(
    tmp_path: Path, twin: RunningTwin, kind: str
) -> None:
    docs = write(tmp_path, manual=MANUAL)
    twin.faults.set([Fault(kind, path="batch_item", nth=(2,))])
    async with opened(tmp_path, twin) as rag:
        wanted = placed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        done = placed(await collect(rag))
        assert (done.given, done.failed, done.waiting) == (wanted - 1, 1, 0) and done.reason
        assert done.cost_pico == invoiced(twin)
        assert placed(await rag.ingest(docs)).jobs == ()
    assert len(await bought(tmp_path)) == len(twin.invoice.lines) == wanted


async def test_what_failed_for_free_goes_again(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    twin.faults.set([Fault("server_error", path="batch_item", nth=(2,)), Fault("expired", path="batch_item", nth=(4,))])
    async with opened(tmp_path, twin) as rag:
        await limit(rag)
        wanted = placed(await rag.ingest(docs)).waiting
        twin.clock.advance(DONE)
        half = placed(await collect(rag))
        assert (half.given, half.waiting) == (wanted - 2, 2) and await held(tmp_path) > 0
        assert await found(rag) == wanted - 2, "what there is counts at once"
        twin.clock.advance(DONE)
        done = placed(await collect(rag))
        assert (done.given, done.waiting) == (2, 0) and await held(tmp_path) == 0
    assert len(twin.invoice.lines) == wanted and sum(it.cost_pico or 0 for it in await bought(tmp_path)) == invoiced(
        twin
    )


async def test_at_once_at_the_live_price(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin, ingest={"context": "live"}) as rag:
        await limit(rag)
        done = placed(await rag.ingest(docs))
        wanted = len((await chunks_of(rag))["manual"])
        assert (done.given, done.waiting, done.failed) == (wanted, 0, 0)
        assert done.cost_pico == invoiced(twin) > 0 == await held(tmp_path)
        assert placed(await rag.ingest(docs)).jobs == ()
    kept = await bought(tmp_path)
    assert {(event.kind, event.lane) for it in kept for event in it.events} == {("context", "standard")}
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin)
    assert sum(line.usage.get("read", 0) > 0 for line in twin.invoice.lines) == wanted - 1


async def test_the_first_of_a_stretch_is_asked_alone_and_then_a_few_at_once(tmp_path: Path, twin: RunningTwin) -> None:
    docs, counted, most = write(tmp_path, manual=MANUAL, other=MANUAL.replace("Zephyr", "Boreas")), Counter[str](), 0

    def look(step: str) -> None:
        nonlocal most
        counted[step] += 1
        if counted["asked live"] == 0:
            assert counted["asking"] <= 2, "nobody before the first one has written the prefix; there are two of them"
        most = max(most, counted["asking"] - counted["asked live"])

    async with opened(tmp_path, twin, ingest={"context": "off"}) as rag:
        await rag.ingest(docs)
    twin.faults.set([Fault("slow_first_token", seconds=0.05)])
    async with opened(tmp_path, twin, ingest={"context": "live"}) as rag:
        run = ContextRun(rag.parts, Account(), Env(now=twin.clock.now, at=look))
        await run.start(await rag.store())
        wanted = sum(map(len, (await chunks_of(rag)).values()))
    assert (run.placed.given, run.placed.failed, counted["asked live"]) == (wanted, 0, wanted)
    assert 4 <= most <= AT_ONCE < wanted
    assert sum(line.usage.get("read", 0) > 0 for line in twin.invoice.lines) == wanted - 2
    assert sum(it.cost_pico or 0 for it in await bought(tmp_path)) == invoiced(twin) > 0 == await held(tmp_path)


async def test_whoever_is_cancelled_amid_live_contexts_keeps_what_was_answered(
    tmp_path: Path, twin: RunningTwin
) -> None:
    docs, answered, others = write(tmp_path, manual=MANUAL), Counter[str](), asyncio.Event()

    def look(step: str) -> None:
        answered[step] += 1
        if answered["asked live"] == wanted - 1:
            others.set()

    async with opened(tmp_path, twin, ingest={"context": "off"}) as rag:
        await rag.ingest(docs)
        wanted = len((await chunks_of(rag))["manual"])
    twin.faults.set([Fault("slow_first_token", seconds=600.0, nth=(4,))])
    async with opened(tmp_path, twin, ingest={"context": "live"}) as rag:
        run = ContextRun(rag.parts, Account(), Env(now=twin.clock.now, at=look))
        going = asyncio.create_task(run.start(await rag.store()))
        await others.wait()
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert await held(tmp_path) == 0
    twin.faults.set([])
    async with opened(tmp_path, twin, ingest={"context": "live"}) as rag:
        report = placed(await rag.ingest(docs))
    assert report.given == wanted - 1 and (report.waiting, report.failed) == (0, 1)
    assert len([it for it in twin.requests if it.path.endswith("/v1/messages")]) == wanted


async def test_vectors_wait_for_the_context_that_they_are_made_with(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL, note=SHORT)
    embedder = {"name": "openai", "dimensions": 64}
    async with opened(tmp_path, twin, embedder=embedder) as rag:
        first = await rag.ingest(docs)
        store = await rag.store()
        waiting = await store.pending_dense("default", 100)
        assert {Path(chunk.source).stem for chunk in waiting} == {"manual"} and first.usage.input > 0
        twin.clock.advance(DONE)
        done = await collect(rag)
        assert await store.pending_dense("default", 100) == ()
        texts = [it.body["input"] for it in twin.requests if it.path.endswith("/embeddings")]
        assert all(INTRODUCTION in text for text in texts[-1]) and len(texts[-1]) == len(waiting)
        assert placed(done).error is None is done.error
    assert sum(it.cost_pico or 0 for it in await bought(tmp_path)) == invoiced(twin)


async def test_a_job_of_contexts_is_a_job_like_others(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    async with opened(tmp_path, twin) as rag:
        await limit(rag)
        wanted = placed(await rag.ingest(docs)).waiting
        (report,) = rag.batches.jobs()
        assert report.job.kind == "contexts" and report.counts == {"planned": wanted}
        twin.clock.advance(DONE)
        assert (await rag.batches.collect(report.job.id)).job.state == "done"
        assert await found(rag) == wanted
        write(tmp_path, manual=MANUAL.replace("hours", "days"))
        await rag.ingest(docs)
        (*_, later) = rag.batches.jobs()
        await rag.batches.cancel(later.job.id)
        assert (await rag.batches.collect(later.job.id)).job.state == "done" and await held(tmp_path) == 0


async def test_who_could_not_write_contexts_is_said_before_a_file_is_read(tmp_path: Path, twin: RunningTwin) -> None:
    docs = write(tmp_path, manual=MANUAL)
    for model, words in (("vllm/twin-local", "no batch lane"), ("haiku", "names no model")):
        async with opened(tmp_path, twin, model) as rag:
            with pytest.raises(ConfigError, match=words):
                await rag.ingest(docs)
    async with opened(tmp_path, twin, "", providers={}, answer={"model": "extractive"}) as rag:
        with pytest.raises(ConfigError, match="needs a model"):
            await rag.ingest(docs)
    assert not (tmp_path / "kb" / "index.json").exists()
