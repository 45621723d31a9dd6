"""An answer that fails its check is asked again of a better model, once, and all of it is on the receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.nouns import Account, Answer, Model, Query
from ragkit.routing.cascade import Tally, answerable, pays, worth_asking
from ragkit.routing.classify import read_level
from ragkit.streaming import Routed
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin

MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTION = "How long does the warranty of the pump last?"
ACCOUNT = Account()


class Warranty(BaseModel):
    years: int
    covered: str


@asynccontextmanager
async def opened(tmp_path: Path, twin: RunningTwin, **routing: Any) -> AsyncIterator[Ragkit]:
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "providers": {"anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")}},
        "routing": routing,
    }
    (tmp_path / "manual.md").write_text(MANUAL, encoding="utf-8")
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "manual.md")
        yield rag


def asked(answer: Answer) -> list[str]:
    return [event.model for event in answer.receipt.events if event.kind == "generate"]


async def told(rag: Ragkit, question: str = QUESTION) -> tuple[list[Routed], Answer]:
    """Routes and answer; asking for data of one's own keeps the free tier out."""
    *signals, answer = [signal async for signal in rag.stream(Query(question, schema=Warranty, account=ACCOUNT))]
    assert isinstance(answer, Answer)
    return [signal for signal in signals if isinstance(signal, Routed)], answer


async def test_a_failed_answer_is_asked_again_of_a_better_model_and_both_are_billed(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin) as rag:
        twin.faults.add(Fault("invented_quote", times=1))
        routes, answer = await told(rag)
    assert asked(answer) == ["claude-haiku-5-5", "claude-sonnet-5-5"]
    assert [signal.route.model.tier for signal in routes] == ["small", "medium"]
    assert "escalated from claude-haiku-5-5" in answer.route.reason
    assert not answer.abstained
    assert answer.receipt.cost_pico == sum(line.pico or 0 for line in twin.invoice.lines)


async def test_it_is_asked_again_only_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        twin.faults.add(Fault("invented_quote", times=5))
        _, answer = await told(rag)
    assert len(asked(answer)) == 2
    assert answer.abstained
    assert "abstained" not in {saving.lever for saving in answer.receipt.savings}


@pytest.mark.parametrize("fault", ["auth", "refusal"])
async def test_where_no_better_model_answers_the_first_one_s_word_stands(
    tmp_path: Path, twin: RunningTwin, fault: str
) -> None:
    async with opened(tmp_path, twin) as rag:
        twin.faults.set([Fault("invented_quote", times=1), Fault(fault, model="claude-sonnet-5-5")])
        _, answer = await told(rag)
    assert answer.abstained
    assert "no better model could be asked" in answer.notes[-1]
    assert asked(answer) == ["claude-haiku-5-5", "claude-sonnet-5-5"]
    assert answer.receipt.cost_pico == sum(line.pico or 0 for line in twin.invoice.lines)
    assert answer.receipt.saved_pico == sum(saving.pico for saving in answer.receipt.savings)


async def test_the_lever_can_be_switched_off(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, escalate=False) as rag:
        twin.faults.add(Fault("invented_quote", times=1))
        _, answer = await told(rag)
    assert asked(answer) == ["claude-haiku-5-5"]
    assert answer.abstained


async def test_a_classifier_is_paid_for_and_decides(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, classifier="anthropic/claude-haiku-5-5") as rag:
        _, answer = await told(rag)
    first, *_ = [event for event in answer.receipt.events if event.kind in ("classify", "generate")]
    assert first.kind == "classify"
    assert first.cost_pico
    assert "claude-haiku-5-5 calls the question" in answer.route.reason
    assert answer.receipt.cost_pico == sum(line.pico or 0 for line in twin.invoice.lines)
    assert answer.receipt.saved_pico == sum(saving.pico for saving in answer.receipt.savings)


async def test_without_the_classifier_the_local_router_decides(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, classifier="anthropic/claude-haiku-5-5") as rag:
        twin.faults.add(Fault("overloaded", times=2))
        _, answer = await told(rag)
    assert "calls the question" not in answer.route.reason
    assert not answer.abstained


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"level": "odd"}', '{"level": null}', "null"])
def test_a_level_that_does_not_exist_is_none(text: str) -> None:
    assert read_level(text, Model("m", "anthropic", "small")) is None


def test_a_cascade_pays_while_the_first_answer_seldom_fails() -> None:
    assert pays(10, 100, 0.2)
    assert pays(0, 100, 0.99)
    assert not pays(10, 100, 0.9)
    assert not pays(100, 10, 0.0)


def test_what_was_seen_outweighs_what_was_expected() -> None:
    tally = Tally()
    assert tally.failing == pytest.approx(0.2)
    for _ in range(500):
        tally = tally.add(failed=True)
    assert tally.failing > 0.95
    assert not pays(10, 100, tally.failing)


def test_an_abstention_is_believed_unless_the_evidence_is_strong() -> None:
    assert not worth_asking(0.5, unsupported=False)
    assert worth_asking(0.95, unsupported=False)
    assert worth_asking(0.6, unsupported=True)
    assert answerable(0.0, unsupported=False) == 0.0
    assert answerable(1.0, unsupported=False) == 1.0
