"""kill -9 at every step of a batch ingest: each context is bought once, at half price, and its chunk gets it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import answered, receipts
from tests.integration.context_world import FLASH, HAIKU, INTRODUCTION, LUNA, MANUAL, chunks_of, opened, write
from tests.integration.kills import Child, bought_once, kill, limit

SCRIPT = Path(__file__).with_name("context_child.py")
STEPS = (
    ("start", "job written", 1),
    ("start", "planned", 1),
    ("start", "held", 1),
    ("start", "submitting", 1),
    ("start", "sent", 1),
    ("start", "submitted", 1),
    ("collect", "ended", 1),
    ("collect", "settled", 2),
    ("collect", "collected one", 3),
    ("collect", "collected", 1),
    ("collect", "remembered", 1),
    ("collect", "filled", 1),
    ("collect", "delivered", 1),
)
QUICK = {
    (HAIKU, "job written"),
    (HAIKU, "settled"),
    (HAIKU, "filled"),
    (HAIKU, "sent"),
    (LUNA, "sent"),
    (FLASH, "sent"),
}
"""Those that the default suite runs: the others are slow only in that they are many."""


def cases() -> Iterator[Any]:
    for model in (HAIKU, LUNA, FLASH):
        for action, step, nth in STEPS:
            marks = () if (model, step) in QUICK else (pytest.mark.slow,)
            yield pytest.param(model, action, step, nth, marks=marks, id=f"{model.partition('/')[0]}-{step}")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child(SCRIPT)
    yield child
    child.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that are searchable by their words and lack contexts; each test copies it."""
    folder = tmp_path_factory.mktemp("index")

    async def ingest() -> None:
        with running_twin() as twin:
            async with opened(folder, twin, ingest={"context": "off"}) as rag:
                await rag.ingest(write(folder, manual=MANUAL))

    asyncio.run(ingest())
    return folder


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.mark.parametrize(("model", "action", "step", "nth"), list(cases()))
async def test_killed_at_a_step_each_context_is_bought_once_and_arrives(
    tmp_path: Path, twin: RunningTwin, child: Child, index: Path, model: str, action: str, step: str, nth: int
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(index, folder)
    await limit(folder, twin, HAIKU)

    run = child.at(twin, folder, model=model)
    kill(run, twin, "start", (action, step, nth))
    assert run("start") == 0, "nothing is left to be asked for"

    async with opened(folder, twin, model) as rag:
        chunks = (await chunks_of(rag))["manual"]
        jobs = rag.batches.jobs()
    assert all(chunk.context == INTRODUCTION and MANUAL[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert [report.job.state for report in jobs] == ["done"]
    assert len(answered(twin)) == len(set(answered(twin))) == len(chunks)
    kept = await receipts(folder)
    assert len(kept) == len(chunks)
    await bought_once(twin, folder, model.partition("/")[0], kept)
