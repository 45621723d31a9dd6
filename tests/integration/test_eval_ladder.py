"""The ladder, the clairvoyant and the planner on traffic small enough to look at."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.models import Catalogue
from ragkit_eval.clairvoyant import Foresight, Sizes
from ragkit_eval.draw import Point, front
from ragkit_eval.evidence import USUAL, Worth, by_score, exactly, worthwhile
from ragkit_eval.ladder import run_ladder
from ragkit_eval.ladder_text import ladder_text, ladder_to_json
from ragkit_eval.levers import LEVERS, Step, all_but, each_left_out, one_after_the_other
from ragkit_eval.loaders import known_source, load
from ragkit_eval.plan import Wishes, make_plan
from ragkit_eval.plan_text import plan_text, plan_to_json
from ragkit_eval.replay import Outcome, replay
from ragkit_eval.report import write_ladder_report
from ragkit_eval.sandbox import Library
from ragkit_eval.workload import Inputs, build_workload

SUBJECTS = ("pump", "oven", "drone", "loom", "press", "crane", "kiln", "lathe")
PARTS = ("filter", "valve", "motor", "seal", "rotor", "gauge")
SMALL = Inputs(questions=24, monthly=1_000_000, patient=0.25, format_failures=0.2)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set in the shape of one that is known, with some questions that take several passages."""
    folder = tmp_path / "data" / "covid_qa"
    folder.mkdir(parents=True)
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for row, subject in enumerate(SUBJECTS):
        texts = []
        for column, part in enumerate(PARTS):
            hours = 100 + 10 * row + column
            texts.append(f"The {part} of the {subject} must be replaced every {hours} hours. It is made of steel.")
            kind = "multi_hop" if column == 5 else "fact"
            question = f"When is the {part} of the {subject} replaced?"
            queries.append({"id": f"q{row}-{column}", "text": question, "answers": [f"{hours} hours"], "type": kind})
            qrels.append(f"q{row}-{column}\td{row}\t1")
        filler = f" Keep the {subject} clean and dry at all times, and call the maker if in doubt." * 8
        text = "\n\n".join(text + filler for text in texts)
        corpus.append({"id": f"d{row}", "title": f"The {subject}", "text": text})
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(qrels), encoding="utf-8")
    return tmp_path / "data"


def test_the_ladder_pulls_one_lever_more_each_time() -> None:
    pulled = [len(step.levers) for step in one_after_the_other(USUAL)]
    assert pulled == list(range(len(LEVERS) + 1))
    assert [len(step.levers) for step in each_left_out(USUAL)] == [len(LEVERS) - 1] * len(LEVERS)
    naive = Step("naive", frozenset()).overlay()
    assert naive["select"]["maximum"] == 40
    assert naive["reranker"] == {"name": "none"}


def test_a_way_is_worth_its_tokens_where_no_cheaper_one_holds_as_many_answers() -> None:
    found = [
        Worth(exactly(count), tokens, score) for count, tokens, score in ((3, 300, 0.8), (5, 500, 0.8), (8, 800, 0.9))
    ]
    found.append(Worth(by_score(0.1), 600, 0.9))
    assert [it.evidence for it in worthwhile(found)] == [exactly(3), by_score(0.1)]
    assert (exactly(3).name, by_score(0.1).name, by_score(0.1, 80).name, USUAL.name) == (
        "3 chunks",
        "3-40 chunks above 0.1",
        "3-80 chunks above 0.1, of 80",
        "3-5 chunks",
    )


def test_traffic_is_popular_paced_and_the_same_for_the_same_seed(data: Path) -> None:
    first, again = build_workload(data, SMALL), build_workload(data, SMALL)
    other = build_workload(data, replace(SMALL, seed=1))
    assert first.asks == again.asks != other.asks
    assert first.distinct < len(first.asks)
    assert first.asks[-1].at == pytest.approx(23 * 30 * 86_400 / 1_000_000)
    assert {ask.needed for ask in first.asks} == {"small", "medium"}


async def test_every_lever_is_billed_as_the_twin_invoices_it(data: Path, tmp_path: Path) -> None:
    work = build_workload(data, SMALL)
    library = Library(tmp_path / "work")
    naive = await replay(work, Step("naive", frozenset()), SMALL, library)
    whole = await replay(work, Step("everything", all_but("answers", "local")), SMALL, library)
    assert naive.difference_pico == whole.difference_pico == 0
    assert naive.cost_pico > 20 * whole.cost_pico > 0
    assert {outcome.model for outcome in naive.outcomes} == {"claude-opus-5-5"}
    patient = [ask.patient for ask in work.asks]
    assert [outcome.batched for outcome in whole.outcomes] == patient
    assert all(outcome.in_context is not None for outcome in whole.outcomes)
    assert max(outcome.prompt for outcome in naive.outcomes) > 2 * min(outcome.prompt for outcome in naive.outcomes)


def outcome(number: int, **changes: object) -> Outcome:
    usual = {"case": f"c{number}", "cost_pico": 0, "in_context": 1.0, "tier": "small", "model": "claude-haiku-5-5"}
    tokens = {"prompt": 2000, "output": 100, "in_prefix": 0, "evidence": (("hot", 900), (f"own{number}", 300))}
    return Outcome(**{**usual, **tokens, **changes})  # type: ignore[arg-type]


def test_foresight_caches_what_all_ask_for_and_nothing_for_one(data: Path) -> None:
    asks = build_workload(data, SMALL).asks[:8]
    simple = tuple(replace(ask, patient=False, case=replace(ask.case, group="fact")) for ask in asks)
    catalogue = Catalogue.load()
    foresight = Foresight(Sizes(800.0, 1.0), catalogue, None, batching=False)
    many = foresight.bill(simple, [outcome(number) for number in range(8)])
    one = foresight.bill(simple[:1], [outcome(0)])
    beside = 800 + 900 + 300
    assert one >= beside * 10**5 + 100 * 5 * 10**5
    assert many < 8 * one * 0.6
    assert foresight.bill(simple, [outcome(n, tier="extractive") for n in range(8)]) == 0


def test_a_local_machine_takes_the_simple_questions(data: Path) -> None:
    asks = [replace(ask, case=replace(ask.case, group="fact")) for ask in build_workload(data, SMALL).asks[:4]]
    foresight = Foresight(Sizes(800.0, 1.0), Catalogue.load(), 1000, batching=False)
    assert foresight.bill(asks, [outcome(number) for number in range(4)]) == 4000


def test_the_front_holds_what_no_other_set_up_beats() -> None:
    points = [Point("dear", 100, 0.9), Point("cheap", 1, 0.8), Point("bad", 50, 0.7), Point("best", 60, 0.9)]
    assert [point.name for point in front(points)] == ["cheap", "best"]


@pytest.mark.slow
def test_the_whole_ladder_ends_with_every_number_and_a_page(data: Path, tmp_path: Path) -> None:
    found = run_ladder(data, tmp_path / "work", SMALL, lambda _: None)
    assert all(rung.difference_pico == 0 for rung in (*found.rungs, *found.alone, *found.left_out, *found.other_ways))
    told = ladder_to_json(found)
    assert told["simulated"] is True
    assert told["steps"][-1]["saved"] > 0.9
    text = ladder_text(found)
    assert "clairvoyant" in text
    assert "50,000" in text
    write_ladder_report(found, tmp_path / "page.html")
    assert "<svg" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.slow
def test_a_plan_keeps_its_promise_on_other_questions(data: Path, tmp_path: Path) -> None:
    cases = load(known_source(data, "covid_qa"))
    found = make_plan(cases, tmp_path / "work", replace(SMALL, questions=40), Wishes(0.8), lambda _: None)
    assert found.chosen is not None
    assert found.checked is not None
    actual = found.checked.cost_pico / found.checked.questions
    assert actual <= found.chosen.promised_pico * 1.05
    assert found.checked.in_context >= found.chosen.promised_quality - 0.05
    assert "recommendation:" in plan_text(found)
    assert plan_to_json(found)["recommended"] == found.chosen.name
