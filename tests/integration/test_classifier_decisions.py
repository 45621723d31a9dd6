"""A decisions endpoint as the router's classifier: paid for, on the receipt, used as a mean, and done without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.bill import simulated_in
from ragkit.budget import Budget
from ragkit.clock import utc_now
from ragkit.config import Settings
from ragkit.decide import Rated
from ragkit.errors import ConfigError, UnpricedModel
from ragkit.foresee import foresee
from ragkit.models import Catalogue
from ragkit.money import from_usd
from ragkit.nouns import Account, Answer, Event, Model, Query, Turn, Usage
from ragkit.routing.classify import LEVELS, MEANINGS
from ragkit.routing.rate import mean_level
from ragkit.routing.tiers import Classifier, build_ladder, classifier_of
from ragkit.window import Window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin

MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTION = "How long does the warranty of the pump last?"
ACCOUNT = Account()
OPENAI = "openai/gpt-6-luna-decisions"
CLASSIFIERS = (OPENAI, "gemini/gemini-decision-1", "vllm/twin-local-decisions")
PAID = CLASSIFIERS[:2]


class Warranty(BaseModel):
    years: int
    covered: str


@asynccontextmanager
async def opened(
    tmp_path: Path, twin: RunningTwin, classifier: str, protocol: str = "openai", **openai: Any
) -> AsyncIterator[Ragkit]:
    where: dict[str, Mapping[str, Any]] = {
        name: {"api_key": "test", "base_url": twin.base_url(name)} for name in ("anthropic", "gemini", "vllm")
    }
    where["openai"] = {"api_key": "test", "base_url": twin.base_url(protocol), **openai}
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "providers": where,
        "routing": {"classifier": classifier},
    }
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "manual.md").write_text(MANUAL, encoding="utf-8")
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "manual.md")
        yield rag


async def ask(rag: Ragkit, question: str = QUESTION, **changes: Any) -> Answer:
    """Asking for data of one's own keeps the free tier out."""
    return await rag.answer(Query(question, schema=Warranty, account=ACCOUNT, **changes))


def classified(answer: Answer) -> list[Event]:
    return [event for event in answer.receipt.events if event.kind == "classify"]


def invoiced(twin: RunningTwin) -> int:
    return sum(line.pico or 0 for line in twin.invoice.lines)


async def nothing_held(rag: Ragkit) -> None:
    audit = await rag.parts.ledger.audit()
    assert (audit.held_pico, audit.open_holds, audit.differences) == (0, 0, ())


@pytest.mark.parametrize("classifier", CLASSIFIERS)
async def test_it_is_asked_first_and_its_mean_decides(tmp_path: Path, twin: RunningTwin, classifier: str) -> None:
    async with opened(tmp_path, twin, classifier) as rag:
        answer = await ask(rag)
        await nothing_held(rag)
    model = classifier.partition("/")[2]
    (event,) = classified(answer)
    assert (event.model, event.usage.output) == (model, 0)
    assert event.usage.prompt > 50
    assert f"{model} calls the question simple with" in answer.route.reason
    assert 0.05 < answer.route.score < 0.5
    assert f"(a strong model gains {answer.route.score:.3f})" in answer.route.reason
    assert answer.receipt.cost_pico == invoiced(twin) == simulated_in(answer.receipt)
    assert answer.receipt.saved_pico == sum(saving.pico for saving in answer.receipt.savings)
    if classifier in PAID:
        assert event.price_row == f"{model}@start"
        assert event.cost_pico == event.usage.input * 100_000
    else:
        assert event.cost_pico == 0


async def test_where_it_computes_has_its_price(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, OPENAI, "openai-eu", region="eu") as rag:
        answer = await ask(rag)
    (event,) = classified(answer)
    assert event.cost_pico == event.usage.input * 110_000
    assert answer.receipt.cost_pico == invoiced(twin)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("kind", ["refusal", "empty", "schema_break"])
async def test_an_answer_that_is_none_is_paid_for_and_the_local_router_decides(
    tmp_path: Path, twin: RunningTwin, classifier: str, kind: str
) -> None:
    async with opened(tmp_path, twin, classifier) as rag:
        twin.faults.set([Fault(kind, path="/decisions")])
        answer = await ask(rag)
        await nothing_held(rag)
    (event,) = classified(answer)
    assert "calls the question" not in answer.route.reason
    assert event.usage.input > 50
    assert event.reason.endswith("Refused" if kind == "refusal" else "ProviderError")
    assert not answer.abstained
    assert answer.receipt.cost_pico == invoiced(twin)


async def test_it_is_tried_again_within_its_time_and_every_attempt_is_on_the_receipt(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, OPENAI) as rag:
        twin.faults.set([Fault("overloaded", path="/decisions", times=1)])
        answer = await ask(rag)
        await nothing_held(rag)
    failed, told = classified(answer)
    assert (failed.cost_pico, failed.attempt, told.attempt) == (0, 1, 2)
    assert "calls the question" in answer.route.reason
    assert answer.receipt.cost_pico == invoiced(twin)


async def test_an_endpoint_that_is_down_keeps_no_answer_of_its_provider_back(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, OPENAI) as rag:
        twin.faults.set([Fault("unavailable", path="/decisions")])
        for number in range(6):
            assert not (await ask(rag, f"{QUESTION} ({number})")).abstained
        gates = {name: rag.parts.retrying.gate(name).failures for name in ("openai decisions", "openai")}
    assert gates["openai decisions"] >= 5
    assert gates["openai"] == 0


async def test_a_lost_answer_costs_an_unknown_sum_and_its_hold_stays_posted(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, OPENAI) as rag:
        twin.faults.set([Fault("malformed_json", path="/decisions")])
        answer = await ask(rag)
        events = classified(answer)
        posted = await rag.parts.ledger.audit()
    assert all(event.cost_pico is None for event in events)
    assert answer.receipt.cost_pico is None
    assert posted.posted_pico >= invoiced(twin)
    assert posted.differences == ()


async def test_without_money_for_it_the_local_router_decides(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, OPENAI) as rag:
        budget = Budget("model", "gpt-6-luna-decisions", Window("total"), from_usd("0.000001"))
        await rag.parts.ledger.set_budget(budget, note="a test")
        answer = await ask(rag)
    assert classified(answer) == []
    assert not [seen for seen in twin.requests if seen.path.endswith("/decisions")]
    assert not answer.abstained


async def test_it_sees_earlier_questions_and_no_passage(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, OPENAI) as rag:
        await ask(rag, "And the motor?", history=(Turn("user", QUESTION), Turn("assistant", "Five years.")))
    (seen,) = [seen for seen in twin.requests if seen.path.endswith("/decisions")]
    assert seen.body["input"] == f"Earlier question: {QUESTION}\nQuestion: And the motor?"
    assert "covers the motor" not in seen.raw.decode()
    assert [level["label"] for level in seen.body["questions"][0]["levels"]] == list(MEANINGS)


async def test_what_a_question_may_cost_at_most_counts_it(tmp_path: Path, twin: RunningTwin) -> None:
    most: dict[str, int] = {}
    for classifier in ("", OPENAI):
        async with opened(tmp_path / (classifier and "with"), twin, classifier) as rag:
            query = Query(QUESTION, schema=Warranty, account=ACCOUNT)
            most[classifier] = (await foresee(await rag.preview(query), query, rag.parts)).most_pico
            answer = await ask(rag)
    (event,) = classified(answer)
    assert most[OPENAI] - most[""] >= (event.cost_pico or 0) > 0


def settings(classifier: str) -> Settings:
    return load_settings(environment={}, overrides={"routing": {"classifier": classifier}})


@pytest.mark.parametrize(
    ("name", "decides"),
    [(name, True) for name in CLASSIFIERS] + [("openai/gpt-6-luna", False), ("vllm/twin-local", False)],
)
def test_the_price_table_tells_who_decides_and_vllm_s_models_their_name(name: str, decides: bool) -> None:
    found = classifier_of(settings(name), Catalogue.load(), utc_now())
    assert isinstance(found, Classifier)
    assert (f"{found.model.provider}/{found.model.id}", found.decides) == (name, decides)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("anthropic/gpt-6-luna-decisions", ConfigError),
        ("openai/gpt-6.1-terra-decisions", UnpricedModel),
        ("cohere/rerank-v4.0-pro", ConfigError),
    ],
)
def test_what_cannot_decide_is_a_wrong_setting(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        classifier_of(settings(name), Catalogue.load(), utc_now())


def test_a_model_that_only_decides_is_no_rung_of_the_ladder() -> None:
    wanted = load_settings(environment={}, overrides={"answer": {"model": OPENAI}})
    with pytest.raises(ConfigError, match="writes no answers"):
        build_ladder(wanted, Catalogue.load(), utc_now())


@pytest.mark.parametrize(
    ("chances", "score"),
    [((1.0, 0.0, 0.0), 0.05), ((0.0, 0.0, 1.0), 0.5), ((0.4, 0.3, 0.3), 0.245), ((0.398, 0.301, 0.301), 0.24565)],
)
def test_the_score_is_the_mean_and_not_the_likeliest_level(chances: tuple[float, ...], score: float) -> None:
    rated = Rated(dict(zip(LEVELS, chances, strict=True)), Usage())
    assert mean_level(rated, Model("m", "openai", "small")).score == pytest.approx(score)
