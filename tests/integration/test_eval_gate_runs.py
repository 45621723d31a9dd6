"""Regressions planted in real runs fail the gate; the same run again, with other ids and timings, does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragkit.nouns import Completion, Hit, Request, Usage
from ragkit.parts import Parts
from ragkit.provider import Piece, Provider
from ragkit.providers.registry import open_provider
from ragkit.rerank import Reranked
from ragkit_eval.gate import Recording, Tolerance, Verdict, check, keep, verdict_text
from ragkit_eval.loaders import Source, load
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.run import Cell, answer_case, opened
from ragkit_eval.sandbox import Base, Library, merged
from ragkit_eval.scoring import Scorer
from ragkit_eval.suite import Setup
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import running_twin

PARTS = ("filter", "valve", "motor", "seal", "rotor", "gauge", "hose", "clamp")
ASKED = (
    "When is the {} replaced?",
    "How many hours does the {} last?",
    "What is the {} made of?",
    "Replace the {} when?",
)
USUAL: dict[str, Any] = {"answer": {"model": "anthropic/claude-haiku-5-5", "minimum_evidence": 0.0}}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "set"
    folder.mkdir()
    corpus, queries, qrels = [], [], ["query-id\tcorpus-id\tscore"]
    for number, part in enumerate(PARTS):
        facts = f"The {part} is made of steel, and must be replaced every {100 + number} hours; it lasts no longer."
        corpus.append({"id": f"d{number}", "title": f"The {part}", "text": facts + " Keep it dry and clean." * 12})
        for place, question in enumerate(ASKED):
            queries.append({"id": f"q{number}-{place}", "text": question.format(part), "answers": ["steel"]})
            qrels.append(f"q{number}-{place}\td{number}\t1")
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(qrels), encoding="utf-8")
    return Source("pump", "beir", folder)


class Upside:
    """A reranker that broke: it puts the worst first."""

    name = "upside"
    price_id: str | None = None

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        turned = (replace(hit, score=1 / (place + 1)) for place, hit in enumerate(reversed(hits)))
        return Reranked(tuple(turned), Usage())

    async def aclose(self) -> None:
        """Nothing is open."""


class Restless:
    """A provider whose prompts begin with another byte each time, as those that hold the time of day do."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self._provider = provider
        self._asked = 0

    async def complete(self, request: Request) -> Completion:
        return await self._provider.complete(self._moved(request))

    def stream(self, request: Request) -> AsyncIterator[Piece]:
        return self._provider.stream(self._moved(request))

    def _moved(self, request: Request) -> Request:
        self._asked += 1
        system = f"{self._asked:06d} {request.prompt.system}"
        return replace(request, prompt=replace(request.prompt, system=system))

    async def aclose(self) -> None:
        await self._provider.aclose()


def nothing(parts: Parts) -> None:
    """As it is."""


def break_reranker(parts: Parts) -> None:
    parts.reranker = Upside()


def move_prefix(parts: Parts) -> None:
    async def restless() -> Provider:
        return Restless(await asyncio.to_thread(open_provider, "anthropic", parts.settings.providers))

    parts._providers["anthropic"] = asyncio.create_task(restless())


Plant = Callable[[Parts], None]


async def recorded(
    source: Source,
    folder: Path,
    overlay: dict[str, Any],
    plant: Plant = nothing,
    *,
    faults: Sequence[Fault] = (),
    seed: int = 0,
) -> Recording:
    cell = Cell(load(source), Setup(name="usual", overlay=merged(USUAL, overlay)), 0)
    scorer = Scorer.of(cell.data)
    with running_twin(faults=faults, seed=seed) as twin:
        async with opened(cell, Library(folder), Base(None, {}), twin) as system:
            assert isinstance(system, RagkitSystem)
            plant(system.rag.parts)
            rows = [await answer_case(case, system, scorer, cell.where) for case in cell.data.cases]
    return Recording("suite.toml", "prices", keep(rows))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("planted", "plant", "found"),
    [
        ({}, nothing, None),
        ({"answer": {"model": "anthropic/claude-sonnet-5-5"}}, nothing, "cost"),
        ({"cache": {"prefix": False}}, nothing, "cost"),
        ({}, move_prefix, "cost"),
        ({}, break_reranker, "recall@4"),
    ],
    ids=["the same again", "a dearer route", "no prefix", "a moved prefix byte", "a broken reranker"],
)
async def test_the_gate_tells_a_regression_from_a_second_run(
    source: Source, tmp_path: Path, planted: dict[str, Any], plant: Plant, found: str | None
) -> None:
    before = await recorded(source, tmp_path / "before", {})
    after = await recorded(source, tmp_path / "after", planted, plant)
    verdict: Verdict = check(before, after.rows, Tolerance())
    assert verdict.compared == len(PARTS) * len(ASKED)
    named = {finding.what for finding in verdict.findings}
    assert (found in named) if found else verdict.passed, verdict_text(verdict)


@pytest.mark.slow
async def test_failures_that_come_and_go_are_no_regression(source: Source, tmp_path: Path) -> None:
    """Twenty runs in which other answers break their schema and other calls are refused; each costs another sum."""
    noise = (Fault("schema_break", probability=0.04), Fault("rate_limit", probability=0.1, retry_after="0"))
    patient = {"retry": {"attempts": 5}, "answer": {"repairs": 3}}
    before = await recorded(source, tmp_path / "before", patient, faults=noise, seed=100)
    bills = set()
    for seed in range(20):
        after = await recorded(source, tmp_path / f"after{seed}", patient, faults=noise, seed=seed)
        bills.add(sum(row.cost_pico or 0 for row in after.rows))
        verdict = check(before, after.rows, Tolerance())
        assert verdict.passed, f"seed {seed}: {verdict_text(verdict)}"
    assert len(bills) > 5
