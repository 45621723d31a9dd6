"""`ragkit cost quote`, `receipt` and `reconcile` as a user runs them, against the twin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ragkit import Ragkit, load_settings
from ragkit.budget import Budget
from ragkit.cli import cost
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.money import PICO_PER_USD, from_usd
from ragkit.nouns import Answer
from ragkit.reports.audit import differences
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin

QUESTION = "How long does the warranty of the pump last, and what does it cover?"
CONFIG = """
[answer]
model = "anthropic/claude-haiku-5-5"
minimum_evidence = 0.0
[embedder]
name = "voyage"
[providers.anthropic]
api_key = "test"
base_url = "{anthropic}"
[providers.voyage]
api_key = "test"
base_url = "{voyage}"
"""


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twin: RunningTwin) -> Path:
    monkeypatch.chdir(tmp_path)
    urls = {name: twin.base_url(name) for name in ("anthropic", "voyage")}
    (tmp_path / "ragkit.toml").write_text(CONFIG.format(**urls), encoding="utf-8")
    (tmp_path / "manual.md").write_text("# Pump\n\nThe warranty of the pump lasts five years and covers the motor.\n")
    return tmp_path


def ask(*questions: str, limit: int | None = None) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        async with Ragkit.open(load_settings()) as rag:
            await rag.ingest("manual.md")
            if limit is not None:
                await rag.parts.ledger.set_budget(Budget("all", "", parse_window("month"), limit))
            return [await rag.ask(question) for question in questions]

    return asyncio.run(all_of_them())


def run(*words: str) -> Result:
    return CliRunner().invoke(cost.app, words, catch_exceptions=False)


def run_json(*words: str, code: int = 0) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.output)


def test_a_quote_is_never_below_what_the_question_costs(place: Path, twin: RunningTwin) -> None:
    ask(limit=PICO_PER_USD)
    sent = len(twin.requests)
    told = run_json("quote", QUESTION)
    assert len(twin.requests) == sent, "nothing is sent"
    assert told["model"] == "claude-haiku-5-5"
    (answer,) = ask(QUESTION)
    assert answer.receipt.cost_pico is not None
    assert from_usd(told["most_usd"]) >= answer.receipt.cost_pico > 0
    assert 0 < from_usd(told["expected_usd"]) < from_usd(told["most_usd"]) < from_usd(told["left_usd"])
    assert "at most" in run("quote", QUESTION).output


def test_a_receipt_comes_from_the_ledger_alone_and_proves_itself(place: Path, twin: RunningTwin) -> None:
    (answer,) = ask(QUESTION)
    books = place / "elsewhere"
    books.mkdir()
    (place / ".ragkit" / "ledger.db").rename(books / "ledger.db")
    told = run_json("receipt", answer.receipt.id, "--store", str(books))
    assert from_usd(told["cost_usd"]) == answer.receipt.cost_pico
    assert [event["kind"] for event in told["events"]] == [event.kind for event in answer.receipt.events]
    assert told["differences"] == []
    assert "come out the same again" in run("receipt", answer.receipt.id, "--store", str(books)).output


def test_another_price_table_does_not_prove_it(place: Path, twin: RunningTwin) -> None:
    (answer,) = ask(QUESTION)
    (place / "mine.toml").write_text(
        'checked = 2026-11-24\n[[model]]\nid = "claude-haiku-5-5"\n[[model.price]]\ninput = 9\noutput = 9\n'
    )
    mine = Catalogue.load(place / "mine.toml")
    assert any("generate by claude-haiku-5-5" in it for it in differences(answer.receipt, mine))


def test_a_receipt_that_is_not_there_is_said_to_be_missing(place: Path, twin: RunningTwin) -> None:
    ask(QUESTION)
    with pytest.raises(ConfigError, match="has no receipt 'nothing'"):
        run("receipt", "nothing")


def test_the_books_agree_with_the_invoice_and_a_forged_line_is_found(place: Path, twin: RunningTwin) -> None:
    twin.faults.set([Fault("overloaded", nth=(3,)), Fault("schema_break", path="/v1/messages", nth=(1,))])
    ask(QUESTION, QUESTION + " Be brief.")
    lines = twin.invoice.to_json()
    (place / "invoice.json").write_text(json.dumps(lines))
    told = run_json("reconcile", "invoice.json")
    assert (told["clean"], told["difference_usd"], told["agreed"]) == (True, "0", len(lines["lines"]))
    assert told["ledger_usd"] == told["invoice_usd"] == lines["total_usd"].rstrip("0")
    lines["lines"].append({**lines["lines"][0], "id": "forged"})
    (place / "invoice.json").write_text(json.dumps(lines))
    assert [it["id"] for it in run_json("reconcile", "invoice.json", code=1)["missing"]] == ["forged"]
    assert "MISSING   forged" in run("reconcile", "invoice.json").output
