"""What is free is never refused, and what is paid for always is where a budget is used up."""

from pathlib import Path

import pytest

from ragkit import Ragkit, load_settings
from ragkit.budget import Budget, OnExceed
from ragkit.errors import BudgetExceeded
from ragkit.window import parse_window
from ragkit_eval.twin.fixture import running_twin

FREE = "How much does the pump weigh?"
PAID = "Compare the motor of the pump with its wear parts, and say why one of them is covered."


@pytest.mark.parametrize("on_exceed", ["refuse", "degrade"])
async def test_a_used_up_budget_refuses_only_what_costs_money(tmp_path: Path, on_exceed: OnExceed) -> None:
    text = "# Pump\n\nThe pump weighs 12 kg. Its motor is covered by a warranty. Wear parts are not covered.\n"
    (tmp_path / "manual.md").write_text(text, encoding="utf-8")
    with running_twin() as twin:
        provider = {"anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")}}
        settings = load_settings(environment={}, overrides={"store": {"path": tmp_path / "kb"}, "providers": provider})
        async with Ragkit.open(settings) as rag:
            await rag.ingest(tmp_path / "manual.md")
            await rag.parts.ledger.set_budget(Budget("all", "", parse_window("month"), 0, on_exceed))
            answer = await rag.ask(FREE)
            with pytest.raises(BudgetExceeded):
                await rag.ask(PAID)
        assert not twin.requests
    assert "12 kg" in answer.text
    assert answer.receipt.cost_pico == 0
