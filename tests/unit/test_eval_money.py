"""Money in the tables of `ragkit eval`: exact, never 0 where it is unknown, labelled, and declined questions apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragkit.errors import RagkitError
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Receipt, Usage
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.commands import show_run
from ragkit_eval.gate import Finding, Verdict, verdict_text
from ragkit_eval.ladder import plan_local, rung_of
from ragkit_eval.ladder_text import HEADS as RUNG_HEADS
from ragkit_eval.ladder_text import rung_rows, rung_to_json
from ragkit_eval.ledger_replay import alternatives_text, alternatives_to_json, compare
from ragkit_eval.levers import Step
from ragkit_eval.replay import Outcome, Replayed, _failed
from ragkit_eval.reply import Row
from ragkit_eval.report import write_run_report
from ragkit_eval.run import Finished
from ragkit_eval.suite import DataTable, Setup, Suite
from ragkit_eval.summary import HEADS, line_to_json, summarize, text_lines
from ragkit_eval.workload import Ask, Inputs, Workload

HAIKU = "claude-haiku-5-5"
ASK = Ask(0.0, Case("a", "What?"), patient=False)
ANSWERED = Row("set", "whole", 0, "a", "What?", {"in_context": 1.0}, 7, 0.1, 100, savings={"routing": 93})
DECLINED = replace(ANSWERED, case="b", cost_pico=0, abstained=True, savings={"abstained": 100})
PAID = replace(ANSWERED, case="c", abstained=True)
UNKNOWN = replace(ANSWERED, case="d", cost_pico=None, savings={})


def cells(rows: list[Row]) -> dict[str, str]:
    (cells,) = text_lines(summarize(rows, ""))
    return dict(zip(HEADS, cells, strict=True))


def test_a_run_shows_what_was_declined_and_what_each_lever_saved() -> None:
    (line,) = summarize([ANSWERED, DECLINED, PAID], "")
    told = line_to_json(line)
    assert told["declined"] == 1
    assert told["savings_usd"] == {"routing": "0.000000000186", "abstained": "0.0000000001"}
    assert cells([ANSWERED, DECLINED, PAID])["declined"] == "1"


def test_a_run_of_unknown_costs_alone_is_not_shown_as_one_that_cost_nothing() -> None:
    (line,) = summarize([UNKNOWN], "")
    assert (line_to_json(line)["usd_per_million"], line_to_json(line)["unknown_costs"]) == (None, 1)
    assert cells([UNKNOWN])["USD per million"] == "unknown"


def test_a_page_has_a_cost_in_full_and_an_unknown_one_by_its_name(tmp_path: Path) -> None:
    suite = Suite(data=(DataTable(path=Path("x")),), setups=(Setup(name="whole"),))
    write_run_report(suite, Finished((ANSWERED, UNKNOWN), None), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<td>0.000000000007</td>" in text
    assert "<td>unknown</td>" in text
    assert show_run(suite, Finished((ANSWERED,), None, None)).json["ingest_usd"] is None


def rung_outcome(**changes: object) -> Outcome:
    usual = {"case": "a", "cost_pico": 7, "in_context": 1.0, "tier": "small", "model": HAIKU}
    return Outcome(**{**usual, "prompt": 9, "output": 1, "in_prefix": 0, **changes})  # type: ignore[arg-type]


def test_a_rung_counts_what_was_declined_and_what_is_of_unknown_cost() -> None:
    outcomes = (rung_outcome(), rung_outcome(abstained=True, declined=True), rung_outcome(cost_pico=0, unknown=True))
    work = Workload(Dataset("set", ()), (ASK,) * 3)
    plan = plan_local(outcomes, Inputs())
    found = rung_of(Step("x", frozenset()), Replayed(Step("x", frozenset()), outcomes, 0), work, plan)
    told = rung_to_json(found, found)
    assert (told["abstained"], told["declined"], told["unknown_costs"], told["questions"]) == (1, 1, 1, 3)
    (row,) = rung_rows([found], found, chained=False)
    assert dict(zip(RUNG_HEADS, row, strict=True))["declined"] == "1"


def bill(reason: str, cost: int | None) -> Receipt:
    event = Event("generate", HAIKU, Usage(input=1), cost, 0.1, reason, price_row=f"{HAIKU}@start", tier="small")
    return Receipt("r", datetime(2026, 11, 24, tzinfo=UTC), Account(), (event,), 0, "top", "prices")


def test_a_question_that_failed_after_an_unknown_cost_has_not_cost_nothing() -> None:
    failed = [_failed(ASK, it, RagkitError("x")) for it in (None, bill("plain", 5), bill("plain", None))]
    assert [(it.cost_pico, it.unknown) for it in failed] == [(0, False), (5, False), (0, True)]


@pytest.mark.parametrize(("reason", "simulated"), [("simulated: plain", "0.0000001"), ("plain", "0")])
def test_a_replayed_ledger_is_exact_and_says_what_is_simulated(reason: str, simulated: str) -> None:
    found = compare([bill(reason, 100_000), bill(reason, None)], Catalogue.load())
    told, text = alternatives_to_json(found), alternatives_text(found)
    assert (told["actual_usd"], told["simulated_usd"], told["unknown_costs"]) == ("0.0000001", simulated, 1)
    assert "cost $0.0000001 (" in text
    assert ("nobody pays it" in text) == (simulated != "0")


def test_a_gate_shows_a_cost_below_a_millionth_in_full() -> None:
    finding = Finding("set", "whole", "cost", 400_000.0, 500_000.0, ())
    assert "$0.0000004 -> $0.0000005 a question (+25.0%)" in verdict_text(Verdict((finding,), (), 1))
