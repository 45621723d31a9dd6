"""The ladder of a budget that degrades, step by step: what is asked, how much is sent, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.budget import Budget, OnExceed, Scope
from ragkit.errors import BudgetExceeded, InvalidAnswer
from ragkit.ledger import Purchase
from ragkit.ledgers.sql import SqlLedger
from ragkit.money import PICO_PER_USD
from ragkit.nouns import Account, Event, Query, Receipt, Usage
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin

SECTIONS = ("warranty", "motor", "filter", "bearing", "noise", "frost", "housing", "cable")
MANUAL = "\n\n".join(
    f"# The {name} of the pump\n\n" + f"The {name} of the pump is checked by the maker, {name} number {n}. " * 12
    for n, name in enumerate(SECTIONS)
)
HARD = "Compare the motor of the pump with its bearing and its filter, and say why the maker checks each of them."
EASY = "Who checks the bearing of the pump?"


class Checked(BaseModel):
    part: str
    why: str


@asynccontextmanager
async def opened(tmp_path: Path, twin: RunningTwin, **sections: Any) -> AsyncIterator[Ragkit]:
    (tmp_path / "manual.md").write_text(MANUAL, encoding="utf-8")
    providers = {
        "anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")},
        "voyage": {"api_key": "test", "base_url": twin.base_url("voyage")},
    }
    answer = {"minimum_evidence": 0.0, **sections.pop("answer", {})}
    overrides = {"store": {"path": tmp_path / "kb"}, "providers": providers, "answer": answer, **sections}
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "manual.md")
        twin.reset()
        yield rag


async def spend(ledger: SqlLedger, pico: int) -> None:
    hold = await ledger.hold(Purchase(Account(), pico, "other"))
    event = Event("generate", "other", Usage(), pico, 0.0, "spent before")
    await ledger.settle(hold, Receipt("before", datetime.now(UTC), Account(), (event,), 0, "", ""))


async def used(rag: Ragkit, percent: int, limit: int = PICO_PER_USD, **budget: Any) -> None:
    """A budget of a dollar that degrades, of which so much is spent."""
    whole = Budget("all", "", parse_window("month"), limit, "degrade")
    await rag.parts.ledger.set_budget(replace(whole, **budget))
    await spend(rag.parts.ledger, limit * percent // 100)


async def test_at_ninety_per_cent_the_tier_is_lower_and_the_chunks_are_fewer(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        before = await rag.answer(Query(HARD, schema=Checked))
        await used(rag, 90)
        after = await rag.answer(Query(HARD, schema=Checked))
    assert after.route.model.tier == "small", after.route.reason
    assert (len(before.hits), len(after.hits)) == (5, 3)
    assert before.route.model.tier != "small"
    assert after.route.model.tier == "small"
    assert [event.chunks for event in after.receipt.events if event.kind == "generate"] == [3]
    assert any("budget is tight: 3 chunks" in note for note in after.notes)
    assert "tight (lower)" in after.route.reason


async def test_at_ninety_five_per_cent_a_single_paid_model_is_not_asked_but_sentences_are_copied(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, answer={"model": "anthropic/claude-opus-5-5"}) as rag:
        await used(rag, 95)
        answer = await rag.ask(HARD)
        assert not twin.requests
        with pytest.raises(BudgetExceeded, match="only what costs nothing is answered") as refused:
            await rag.answer(Query(HARD, schema=Checked))
        assert not twin.requests
    assert (answer.route.model.tier, answer.receipt.cost_pico) == ("extractive", 0)
    assert "tight (free)" in answer.route.reason
    assert (refused.value.scope, refused.value.window) == ("all", "month")
    assert refused.value.left_pico == PICO_PER_USD * 5 // 100


async def test_at_ninety_five_per_cent_an_answer_of_the_cache_still_comes(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, answer={"model": "anthropic/claude-opus-5-5"}) as rag:
        first = await rag.ask(EASY)
        await used(rag, 95)
        again = await rag.ask(EASY)
    assert first.receipt.cost_pico
    assert (again.text, again.route.model.tier, again.receipt.cost_pico) == (first.text, "cache", 0)


async def test_at_ninety_five_per_cent_nothing_is_embedded_or_reranked_for_money(
    tmp_path: Path, twin: RunningTwin
) -> None:
    parts = {"embedder": {"name": "voyage"}, "reranker": {"name": "voyage"}}
    async with opened(tmp_path, twin, **parts) as rag:
        await rag.answer(Query(HARD, schema=Checked))
        assert {"/embeddings", "/rerank"} <= {"/" + seen.path.rpartition("/")[2] for seen in twin.requests}
        await used(rag, 95)
        sent = len(twin.requests)
        answer = await rag.ask(HARD)
        assert len(twin.requests) == sent
    assert answer.receipt.cost_pico == 0
    assert any("retrieval is lexical" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("scope", "subject", "on_exceed", "instead"),
    [
        ("user", "default/ann", "degrade", "claude-haiku-5-5"),
        ("model", "claude-sonnet-5-5", "refuse", "claude-opus-5-5"),
    ],
)
async def test_a_model_that_does_not_fit_makes_way_for_another_one(
    tmp_path: Path, twin: RunningTwin, scope: Scope, subject: str, on_exceed: OnExceed, instead: str
) -> None:
    """A cheaper one where the budget is everybody's, the next best where it is only for that model."""
    ann = Query(HARD, Account(user="ann"), schema=Checked)
    async with opened(tmp_path, twin, routing={"medium": 0.0, "large": 1.0}) as rag:
        wanted = await rag.answer(replace(ann, account=Account(user="bob")))
        assert wanted.route.model.id == "claude-sonnet-5-5"
        limit = Budget(scope, subject, parse_window("30d"), PICO_PER_USD // 200, on_exceed)
        await rag.parts.ledger.set_budget(limit)
        answer = await rag.answer(ann)
    assert [event.model for event in answer.receipt.events if event.kind == "generate"] == [instead]
    assert ": BudgetExceeded" in answer.receipt.events[-1].reason


async def test_a_budget_that_refuses_asks_no_other_model(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await rag.parts.ledger.set_budget(Budget("all", "", parse_window("total"), PICO_PER_USD // 200))
        with pytest.raises(BudgetExceeded, match="may cost up to"):
            await rag.answer(Query(HARD, schema=Checked))
        assert not twin.requests


async def test_an_answer_that_the_budget_cut_short_does_not_blame_the_settings(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, answer={"model": "anthropic/claude-haiku-5-5"}) as rag:
        twin.faults.add(Fault("length"))
        with pytest.raises(InvalidAnswer, match=r"cut at 1024 tokens: raise answer\.max_output"):
            await rag.answer(Query(HARD, schema=Checked))
        spent = sum(line.pico or 0 for line in twin.invoice.lines)
        await rag.parts.ledger.set_budget(Budget("all", "", parse_window("total"), spent + PICO_PER_USD // 1200))
        with pytest.raises(InvalidAnswer, match="all that the budget could hold") as cut:
            await rag.answer(Query(HARD, schema=Checked))
    assert cut.value.receipt is not None
    assert "answer.max_output" not in str(cut.value)
