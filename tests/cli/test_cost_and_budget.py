"""`ragkit cost` and `ragkit budget` as a user runs them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from ragkit.cli import budget, cost
from ragkit.errors import ConfigError
from ragkit.ledger import Hold, Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Receipt, Saving, Usage

SONNET = "claude-sonnet-5-5"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spent(request: pytest.FixtureRequest) -> None:
    """A ledger with two tenants, one question an hour for two days, answered by the twin where the test says so."""
    reason = getattr(request, "param", "asked")

    async def fill() -> None:
        usage = Usage(input=1000, output=100)
        price = Catalogue.load().cost(usage, SONNET, at=datetime.now(UTC))
        event = Event("generate", SONNET, usage, price.pico, 1.0, reason, price_row=price.row_id, tier="medium")
        ledger = open_sqlite(".ragkit/ledger.db")
        for hours in range(48):
            at = datetime.now(UTC) - timedelta(hours=hours, minutes=1)
            account = Account("acme" if hours % 3 else "globex")
            saving = (Saving("routing", 10**10 - price.pico),)
            receipt = Receipt(f"r-{hours}", at, account, (event,), 10**10, "top", "prices", saving)
            await ledger.settle(Hold("free", Purchase(account, 0, SONNET), at), receipt)
        await ledger.aclose()

    asyncio.run(fill())


def run(app: Typer, *words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def run_json(app: Typer, *words: str) -> Any:
    return json.loads(run(app, *words, "--json"))


def test_a_budget_is_set_listed_and_remembered() -> None:
    said = run(budget.app, "set", "tenant=acme", "12.50", "--per", "day", "--zone", "Europe/Berlin", "--degrade")
    assert said == "tenant=acme: at most $12.5 per day (Europe/Berlin), then degrade\n"
    run(budget.app, "set", "user=alice", "1", "--per", "24h", "--note", "trial")
    run(budget.app, "set", "all", "none")
    listed = run_json(budget.app, "list")
    assert listed["budgets"] == [
        {
            "scope": "tenant",
            "subject": "acme",
            "window": "day",
            "zone": "Europe/Berlin",
            "limit_usd": "12.5",
            "on_exceed": "degrade",
        },
        {
            "scope": "user",
            "subject": "default/alice",
            "window": "rolling 1d",
            "zone": "UTC",
            "limit_usd": "1",
            "on_exceed": "refuse",
        },
    ]
    assert [it["left_usd"] for it in listed["standings"]] == ["12.5", "1"]
    history = run(budget.app, "history").splitlines()
    assert history[1].endswith("user=default/alice: at most $1 per rolling 1d, then refuse (trial)")
    assert history[2].endswith("all: no limit per month")
    assert len(run_json(budget.app, "history")["changes"]) == 3


@pytest.mark.usefixtures("spent")
def test_the_list_shows_what_was_spent_before_the_budget() -> None:
    run(budget.app, "set", "tenant=*", "0.05", "--per", "total")
    standings = {it["whom"]: it for it in run_json(budget.app, "list")["standings"]}
    assert standings["tenant=acme"]["spent_usd"] == "0.096"
    assert standings["tenant=acme"]["left_usd"] == "0"
    assert standings["tenant=globex"]["spent_usd"] == "0.048"
    assert "192.0%" in run(budget.app, "list")


def test_an_empty_list_says_what_to_do() -> None:
    run(budget.app, "set", "all", "none")
    assert "`ragkit budget set tenant=NAME 100 --per month`" in run(budget.app, "list")


@pytest.mark.parametrize(
    "words",
    [
        ("set", "acme", "1"),
        ("set", "all", "much"),
        ("set", "all", "0.0000000000001"),
        ("set", "all", "99999999"),
        ("set", "all", "1", "--per", "year"),
        ("set", "all", "1", "--zone", "Mars"),
        ("list",),
        ("history",),
    ],
)
def test_mistakes_are_told_in_a_sentence(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        CliRunner().invoke(budget.app, words, catch_exceptions=False)
    assert not Path(".ragkit").exists()


@pytest.mark.usefixtures("spent")
def test_a_report_as_table_json_csv_and_picture() -> None:
    text = run(cost.app, "report", "--by", "tenant")
    assert text.splitlines()[1].split()[:2] == ["acme", "0.096"]
    assert "█" in text
    total = run_json(cost.app, "report")["total"]
    assert (total["cost_usd"], total["baseline_usd"], total["saved_usd"]) == ("0.144", "0.48", "0.336")
    assert run_json(cost.app, "report", "--tenant", "globex")["total"]["questions"] == 16
    rows = list(csv.DictReader(io.StringIO(run(cost.app, "report", "--by", "lever", "--csv"))))
    assert [(row["lever"], row["saved_usd"]) for row in rows] == [("routing", "0.336")]
    assert run_json(cost.app, "report", "--since", "12h")["total"]["questions"] == 12
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    run(cost.app, "report", "--plot", "cost.png")
    assert Path("cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("spent", "simulated"), [("simulated: asked", True), ("asked", False)], indirect=["spent"])
@pytest.mark.usefixtures("spent")
def test_money_of_the_twin_is_labelled_wherever_it_is_shown(simulated: bool) -> None:
    run(budget.app, "set", "tenant=*", "0.05", "--per", "total")
    report, ahead, what_if = (run_json(cost.app, word) for word in ("report", "forecast", "what-if"))
    standings = run_json(budget.app, "list")["standings"]
    shown = [run(cost.app, word) for word in ("report", "forecast", "what-if")] + [run(budget.app, "list")]
    assert [("nobody pays it" in text) for text in shown] == [simulated] * 4
    for it in (report["total"], *report["lines"], what_if, *standings):
        cost_usd = it.get("cost_usd") or it.get("spent_usd") or it["actual_usd"]
        assert it["simulated_usd"] == (cost_usd if simulated else "0")
    assert ahead["simulated_usd"] == (report["total"]["cost_usd"] if simulated else "0")
    assert {it["spent_usd"] for it in standings} == {"0.096", "0.048"}


@pytest.mark.usefixtures("spent")
def test_a_forecast() -> None:
    found = run_json(cost.app, "forecast", "--per", "day", "--limit", "0.001")
    assert found["limit_usd"] == "0.001"
    assert found["runs_out"] is not None
    assert "estimated" in run(cost.app, "forecast")


@pytest.mark.usefixtures("spent")
def test_what_if() -> None:
    found = run_json(cost.app, "what-if", "--model", f"{SONNET}=claude-opus-5-5")
    assert (found["questions"], found["changed_events"], found["actual_usd"]) == (48, 48, "0.144")
    assert "(estimated)" in run(cost.app, "what-if", "--no-cache")


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("report", "--by", "colour"),
        ("report", "--since", "soon"),
        ("report", "--since", "7d", "--zone", "Mars"),
        ("report", "--since", "1d", "--until", "2020-01-01"),
        ("forecast", "--per", "total"),
        ("what-if", "--ttl", "2h"),
        ("what-if", "--model", "nonsense"),
    ],
)
def test_bad_questions_about_costs(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        CliRunner().invoke(cost.app, words, catch_exceptions=False)
    assert not Path(".ragkit").exists()
