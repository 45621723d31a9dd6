"""`ragkit route` as a user runs it."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragkit import Ragkit
from ragkit.cli.route import app
from ragkit.config import load_settings
from ragkit.errors import ConfigError
from ragkit.ledger import Hold, Purchase
from ragkit.ledgers.sqlite import open_sqlite
from ragkit.models import Catalogue
from ragkit.nouns import Account, Event, Receipt, Tier, Usage
from ragkit.routing.signals import policy_of, scorer_of
from ragkit_api.records import Feedback, Records

QUESTION = "How long does the warranty of the pump last?"
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def run_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def write_outcomes(strong: float = 1.0, weak: float | None = None) -> str:
    """Proofs, which only the strong model gets right, among plain questions, unless `weak` says otherwise."""
    chance = random.Random(3)
    rows = []
    for number in range(120):
        proof = chance.random() < 0.3
        text = f"Prove that lemma {number} follows from the axiom" if proof else f"What colour has thing {number}?"
        right = (0.0 if proof else 1.0) if weak is None else weak
        rows.append(json.dumps({"text": text, "strong_correct": strong, "weak_correct": right, "group": str(proof)}))
    Path("outcomes.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return "outcomes.jsonl"


def rate_answers(count: int, small_right: float, tenant: str = "default") -> None:
    """A ledger in which two tiers answered questions of all scores, and what people said of the answers."""
    chance, tiers, prices = random.Random(4), ("small", "large"), Catalogue.load()
    models: dict[str, str] = {"small": "claude-haiku-5-5", "large": "claude-opus-5-5"}

    async def fill() -> None:
        ledger, records = open_sqlite(".ragkit/ledger.db"), Records(load_settings(environment={}))
        for number in range(count):
            tier: Tier = "small" if chance.choice(tiers) == "small" else "large"
            usage, at = Usage(input=2000, output=200), datetime.now(UTC) - timedelta(hours=number % 48, minutes=1)
            price = prices.cost(usage, models[tier], at=at)
            reason = f"the question is plain (a strong model gains {chance.random() * 0.4:.3f}): a test"
            event = Event("generate", models[tier], usage, price.pico, 1.0, reason, price_row=price.row_id, tier=tier)
            account = Account(tenant)
            receipt = Receipt(f"{tenant}-{number}", at, account, (event,), 10**10, "top", "prices")
            await ledger.settle(Hold("free", Purchase(account, 0, event.model), at), receipt)
            right = chance.random() < (small_right if tier == "small" else 0.95)
            await records.add_feedback(Feedback(tenant, None, receipt.id, 1 if right else -1, ""))
        await ledger.aclose()
        await records.aclose()

    asyncio.run(fill())


def test_explain_works_without_key_and_index_and_says_so() -> None:
    found = run_json("explain", QUESTION)
    assert found["model"]["id"] == "claude-haiku-5-5"
    assert {offer["id"] for offer in found["offers"]} == {"claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"}
    assert all(float(offer["expected_usd"]) > 0 for offer in found["offers"])
    assert "no provider has a key" in found["note"]
    text = run("explain", QUESTION)
    assert "claude-haiku-5-5" in text
    assert "estimated" in text


def test_explain_weighs_the_passages_of_the_index() -> None:
    Path("manual.md").write_text("# Pump\n\nThe warranty of the pump lasts for five years.\n", encoding="utf-8")

    async def fill() -> None:
        async with Ragkit.open(".ragkit") as rag:
            await rag.ingest("manual.md")

    asyncio.run(fill())
    found = run_json("explain", QUESTION)
    assert "no passage" not in found["note"]
    assert "copied sentences" in found["reason"]


def test_explain_asks_the_models_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    found = run_json("explain", QUESTION)
    assert found["model"]["provider"] == "openai"
    assert "key" not in found["note"]


@pytest.mark.parametrize(
    ("classifier", "endpoint"),
    [
        ("openai/gpt-6-luna-decisions", "decisions"),
        ("vllm/our-own-decisions", "decisions"),
        ("anthropic/claude-haiku-5-5", "answers"),
    ],
)
def test_explain_names_who_is_asked_first_and_for_how_much(
    monkeypatch: pytest.MonkeyPatch, classifier: str, endpoint: str
) -> None:
    assert run_json("explain", QUESTION)["classifier"] is None
    monkeypatch.setenv("RAGKIT_ROUTING_CLASSIFIER", classifier)
    asked = run_json("explain", QUESTION)["classifier"]
    assert (f"{asked['provider']}/{asked['id']}", asked["endpoint"]) == (classifier, endpoint)
    assert (float(asked["expected_usd"]) > 0) == (asked["provider"] != "vllm")
    text = run("explain", QUESTION)
    assert f"{asked['id']} is asked first" in text
    assert ("decisions endpoint" in text) == (endpoint == "decisions")


def test_report_says_that_routing_pays_where_it_does() -> None:
    found = run_json("report", write_outcomes())
    assert found["pays"]
    ours = next(one for one in found["routers"] if one["name"] == "ragkit")
    assert ours["gap_closed"] > 0.8
    assert ours["gap_closed_bounds"][0] <= ours["gap_closed"] <= ours["gap_closed_bounds"][1]
    assert {one["name"] for one in found["routers"]} >= {"prompt length", "neighbours", "chance", "hindsight"}
    assert "routing pays" in run("report", "outcomes.jsonl")


@pytest.mark.parametrize(("weak", "words"), [(1.0, "as good"), (0.97, "not needed"), (0.2, "no better than chance")])
def test_report_says_that_routing_does_not_pay_where_it_does_not(weak: float, words: str) -> None:
    found = run_json("report", write_outcomes(weak=weak))
    assert not found["pays"]
    assert words in found["verdict"]


def test_fit_writes_a_router_that_the_settings_it_prints_put_in_force() -> None:
    printed = run("fit", write_outcomes(), "--out", "mine.bin", "--quality", "1.0")
    Path("ragkit.toml").write_text(printed, encoding="utf-8")
    settings = load_settings(environment={})
    assert settings.routing.file == Path("mine.bin")
    assert scorer_of(settings.routing).forest.trees
    assert "Prove" not in Path("mine.bin").read_bytes().decode("latin-1")
    easy, hard = (
        run_json("explain", "What colour has thing 7?"),
        run_json("explain", "Prove that lemma 7 follows from the axiom"),
    )
    assert easy["model"]["tier"] == "small"
    assert hard["model"]["tier"] == "large"
    assert run_json("report", "outcomes.jsonl", "--in-force")["pays"]


def test_fit_learns_from_the_ledger_and_feedback_and_the_router_uses_it() -> None:
    rate_answers(240, small_right=0.95)
    dry = run_json("fit", "--dry-run")
    assert dry["file"] is None
    assert not Path("router.bin").exists()
    told = run_json("fit")
    assert told["ratings"]["small"] + told["ratings"]["large"] == told["questions"] == 240
    assert told["better"]
    assert float(told["then"]["cost_usd"]) < float(told["now"]["cost_usd"])
    assert told["then"]["shares"]["small"] > told["now"]["shares"]["small"]
    text = run("fit", "--out", "mine.bin")
    Path("ragkit.toml").write_text(text, encoding="utf-8")
    settings = load_settings(environment={})
    assert settings.routing.file == Path("mine.bin")
    policy = policy_of(settings.routing, scorer_of(settings.routing))
    assert (policy.medium, policy.large) == (told["medium"], told["large"])


def test_fit_refuses_a_ledger_with_too_little_feedback_and_leaves_other_tenants_out() -> None:
    with pytest.raises(ConfigError, match="no ledger"):
        run("fit")
    rate_answers(20, small_right=0.9)
    rate_answers(100, small_right=0.1, tenant="stranger")
    with pytest.raises(ConfigError, match=r"20 rated answers are too few.*v1/feedback"):
        run("fit")


def test_a_threshold_in_the_settings_comes_before_the_fitted_one() -> None:
    rate_answers(240, small_right=0.95)
    Path("ragkit.toml").write_text("[routing]\nmedium = 0.1\n", encoding="utf-8")
    settings = load_settings(environment={})
    assert policy_of(settings.routing, scorer_of(settings.routing)).medium == 0.1
    assert "take medium out of [routing]" in run("fit")


@pytest.mark.parametrize(
    "content",
    ["", "no json\n" * 60, '{"text": "x"}\n' * 60, '{"text": 1, "strong_correct": 1, "weak_correct": 0}\n' * 60,
     '{"text": "x", "strong_correct": 7, "weak_correct": 0}\n' * 60],
)  # fmt: skip
def test_bad_outcomes_are_refused(content: str) -> None:
    Path("outcomes.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"outcomes\.jsonl"):
        run("report", "outcomes.jsonl")
