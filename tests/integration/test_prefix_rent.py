"""Gemini's explicit caches: rented when questions come too slowly for implicit ones and often enough for the rent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit, load_settings
from ragkit.bill import simulated_in
from ragkit.caching.policy import Arrivals, terms_of
from ragkit.caching.rent import RENT, pays
from ragkit.models import Catalogue
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from ragkit_eval.twin.world import Options

TOPICS = ("filter", "warranty", "noise", "bearing")
FILLER = "It is checked by a technician, noted in the log and signed by the shift leader of the day. " * 12
SMALL = 'checked = 2026-11-23\n[[model]]\nid = "gemini-3.5-flash"\ncache_minimum = 512\n'
"""So that a few short documents are enough."""
OPTIONS = Options(minimums={"gemini-3.5-flash": 512})
START = datetime(2026, 11, 24, tzinfo=UTC)


@asynccontextmanager
async def opened(folder: Path, twin: RunningTwin, **cache: Any) -> AsyncIterator[Ragkit]:
    (folder / "prices.toml").write_text(SMALL, encoding="utf-8")
    (folder / "docs").mkdir()
    for number, topic in enumerate(TOPICS, start=2):
        text = f"# The {topic}\n\nThe {topic} of the pump lasts for {number} years. {FILLER}\n"
        (folder / "docs" / f"{topic}.md").write_text(text, encoding="utf-8")
    overrides: dict[str, Any] = {
        "store": {"path": folder / "kb"},
        "answer": {"model": "gemini/gemini-3.5-flash"},
        "cache": {"answers": False, **cache},
        "prices": {"file": folder / "prices.toml"},
        "providers": {"gemini": {"api_key": "test", "base_url": twin.base_url("gemini")}},
    }
    settings = load_settings(environment={}, overrides=overrides)
    async with Ragkit.open(settings, clock=twin.clock.now) as rag:
        await rag.ingest(folder / "docs")
        yield rag


async def ask_every(rag: Ragkit, twin: RunningTwin, seconds: float, times: int) -> int:
    """The sum of all receipts."""
    total = 0
    for number in range(times):
        twin.clock.advance(seconds)
        answer = await rag.ask(
            f"How long does the {TOPICS[number % 2]} of the pump last, asked for the {number}th time?"
        )
        assert simulated_in(answer.receipt) == answer.receipt.cost_pico
        total += answer.receipt.cost_pico or 0
    return total


async def test_a_prefix_is_rented_named_and_renewed_and_its_rent_is_on_the_ledger(tmp_path: Path) -> None:
    with running_twin(options=OPTIONS, start=START, rate=0) as twin:
        async with opened(tmp_path, twin, rent=True) as rag:
            spent = await ask_every(rag, twin, 400.0, 60)
        made = [seen for seen in twin.requests if seen.path.endswith("cachedContents")]
        renewed = [seen for seen in twin.requests if seen.method == "PATCH"]
        named = [seen for seen in twin.requests if isinstance(seen.body, dict) and seen.body.get("cachedContent")]
        twin.clock.advance(3600)
        billed = twin.invoice.total_pico
    assert len(made) == 1
    assert renewed
    assert len(named) > 10
    assert all("systemInstruction" not in seen.body for seen in named)
    assert spent == pytest.approx(billed, rel=1e-6)


async def test_nothing_is_rented_unless_that_is_asked_for(tmp_path: Path) -> None:
    with running_twin(options=OPTIONS, start=START, rate=0) as twin:
        async with opened(tmp_path, twin) as rag:
            spent = await ask_every(rag, twin, 400.0, 30)
        assert not [seen for seen in twin.requests if "cachedContents" in seen.path]
        assert spent == twin.invoice.total_pico


@pytest.mark.parametrize(("gap", "expected"), [(20.0, False), (420.0, True), (7200.0, False)])
def test_rent_pays_between_too_often_and_too_seldom(gap: float, expected: bool) -> None:
    arrivals = Arrivals()
    for number in range(60):
        arrivals.add(number * gap)
    (terms,) = terms_of(Catalogue.load().bands("gemini-3.5-flash", at=START)[0], ())
    assert pays(arrivals, terms, RENT["flash"]) == expected
