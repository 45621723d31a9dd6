"""The answer cache in the line: what is repeated, what never is, and what the receipt says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.nouns import Account, Answer, Query, Turn
from ragkit.streaming import Found, Routed, Said
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin

MANUAL = (
    "# Pump manual\n\nThe warranty of the pump lasts for {} years and covers the motor. Wear parts are not covered.\n"
)
QUESTION = "How long does the warranty of the pump last?"


class Warranty(BaseModel):
    years: int


@asynccontextmanager
async def opened(tmp_path: Path, twin: RunningTwin, **cache: Any) -> AsyncIterator[Ragkit]:
    write(tmp_path, "five")
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "answer": {"model": "anthropic/claude-haiku-5-5"},
        "cache": cache,
        "providers": {"anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")}},
    }
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "docs")
        yield rag


def write(tmp_path: Path, years: str) -> None:
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs" / "manual.md").write_text(MANUAL.format(years), encoding="utf-8")


def cached(answer: Answer) -> bool:
    return answer.route.model.tier == "cache"


async def test_the_same_question_costs_nothing_and_says_what_that_saved(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        first = await rag.ask(QUESTION)
        again = await rag.ask(f"  {QUESTION[:-1]}  ")
    assert (cached(first), cached(again)) == (False, True)
    assert (again.text, again.citations, again.hits) == (first.text, first.citations, first.hits)
    assert len(twin.requests) == 1
    assert again.receipt.cost_pico == 0
    assert again.receipt.saved_pico == again.receipt.baseline_pico > 0
    assert again.receipt.baseline_pico == pytest.approx(first.receipt.baseline_pico, rel=0.3)
    assert [saving.lever for saving in again.receipt.savings] == ["answer cache"]
    assert "claude-haiku-5-5" in again.route.reason


async def test_answers_go_with_their_documents_also_where_the_change_broke_off(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin) as rag:
        await rag.ask(QUESTION)
        caches, store = rag.parts.caches, await rag.store()
        with pytest.raises(InterruptedError):
            async with caches.changing("default", rag.store):
                await store.remove("default", [record.id for record in await store.records("default")])
                raise InterruptedError
    assert b"five years" not in (tmp_path / "kb" / "cache.db").read_bytes()


async def test_answers_outlive_the_process(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        first = await rag.ask(QUESTION, schema=Warranty)
    async with opened(tmp_path, twin) as rag:
        again = await rag.ask(QUESTION, schema=Warranty)
    assert cached(again)
    assert again.data == first.data


async def test_a_changed_document_is_never_answered_from_the_past(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await rag.ask(QUESTION)
        write(tmp_path, "seven")
        await rag.ingest(tmp_path / "docs")
        fresh = await rag.ask(QUESTION)
        assert not cached(fresh)
        assert "seven" in fresh.text
        assert cached(await rag.ask(QUESTION))
        await rag.ingest(tmp_path / "docs")
        assert cached(await rag.ask(QUESTION))


async def test_a_deleted_document_leaves_nothing_behind(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        first = await rag.ask(QUESTION)
        await rag.remove([first.hits[0].chunk.document_id])
        assert (await rag.ask(QUESTION)).abstained
    assert b"covers the motor" not in b"".join(file.read_bytes() for file in (tmp_path / "kb").glob("cache.db*"))


async def test_what_an_answer_depends_on_is_a_miss_when_it_differs(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await rag.ask(QUESTION)
        others = [
            await rag.ask(QUESTION, schema=Warranty),
            await rag.ask(QUESTION, k=7),
            await rag.ask(QUESTION, history=[Turn("user", "Tell me about the big one."), Turn("assistant", "Yes?")]),
            await rag.ask(QUESTION, filters={"language": "en"}),
            await rag.ask(QUESTION.lower()),
        ]
    assert not any(map(cached, others))


async def test_no_tenant_is_answered_from_another_ones_documents(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await rag.ask(QUESTION)
        stranger = await rag.ask(QUESTION, account=Account("stranger"))
        assert stranger.abstained
        assert not cached(stranger)
        await rag.ingest(tmp_path / "docs", account=Account("stranger"))
        assert not cached(await rag.ask(QUESTION, account=Account("stranger")))
        assert cached(await rag.ask(QUESTION, account=Account("stranger")))


async def test_it_can_be_switched_off(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, answers=False) as rag:
        await rag.ask(QUESTION)
        assert not cached(await rag.ask(QUESTION))


async def test_paraphrases_are_answered_only_where_that_is_asked_for(tmp_path: Path, twin: RunningTwin) -> None:
    same, other = f"Could you tell me {QUESTION[0].lower()}{QUESTION[1:]}", QUESTION.replace("does the", "did the")
    async with opened(tmp_path, twin, semantic=True) as rag:
        await rag.ask(QUESTION)
        hit = await rag.ask(same)
        assert cached(hit)
        assert QUESTION[:-1] in hit.route.reason
        assert not cached(await rag.ask(other))
    async with opened(tmp_path, twin) as rag:
        assert not cached(await rag.ask(same))


async def test_a_refused_or_failed_answer_is_not_kept(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        twin.faults.add(Fault("refusal", times=1))
        with pytest.raises(Exception, match="refuses"):
            await rag.ask(QUESTION)
        assert not cached(await rag.ask(QUESTION))


async def test_a_repeated_answer_is_streamed_like_any_other(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        first = await rag.ask(QUESTION)
        *signals, answer = [signal async for signal in rag.stream(QUESTION)]
    assert isinstance(answer, Answer)
    assert [type(signal) for signal in signals] == [Found, Routed, Said]
    assert answer.text == first.text


async def test_nothing_is_kept_while_documents_change(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        with rag.parts.caches.corpus.changing("default"):
            await rag.answer(Query(QUESTION))
        assert not cached(await rag.ask(QUESTION))
