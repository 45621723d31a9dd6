"""kill -9 at every step of a batch: each question is billed once, at half price, and nothing stays held."""

import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ragkit import Ragkit
from ragkit.ledgers.sql import Options
from ragkit.ledgers.sqlite import open_sqlite
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import QUESTIONS, answered, held, ingest, invoiced, receipts, settings, urls
from tests.integration.kills import Child, bought_once, kill, limit

CHILD = Path(__file__).with_name("batch_child.py")
MODELS = ("anthropic/claude-haiku-5-5", "openai/gpt-6-luna", "gemini/gemini-3.8-flash", "vertex/gemini-3.8-flash")
STEPS = (
    ("submit", "job written", 1),
    ("submit", "prepared one", 2),
    ("submit", "prepared", 1),
    ("submit", "planned", 1),
    ("submit", "held", 1),
    ("submit", "submitting", 1),
    ("submit", "sent", 1),
    ("submit", "submitted", 1),
    ("collect", "ended", 1),
    ("collect", "settled", 2),
    ("collect", "collected one", 2),
    ("collect", "collected", 1),
)
QUICK = {(MODELS[0], "planned"), (MODELS[0], "settled"), *((model, "sent") for model in MODELS)}
"""Those that the default suite runs: the others are slow only in that they are many."""


def cases() -> Iterator[Any]:
    """Every step at every provider."""
    for model in MODELS:
        for action, step, nth in STEPS:
            marks = () if (model, step) in QUICK else (pytest.mark.slow,)
            yield pytest.param(model, action, step, nth, marks=marks, id=f"{model.partition('/')[0]}-{step}")


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child(CHILD)
    yield child
    child.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that each test copies; who answers is decided later."""
    folder = tmp_path_factory.mktemp("index")
    with running_twin() as twin:
        ingest(folder, twin, MODELS[0])
    return folder


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


@pytest.mark.parametrize(("model", "action", "step", "nth"), list(cases()))
async def test_killed_at_a_step_each_question_is_billed_once(
    tmp_path: Path, twin: RunningTwin, child: Child, index: Path, model: str, action: str, step: str, nth: int
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(index, folder)
    await limit(folder, twin, model)

    kill(child.at(twin, folder, model=model), twin, "submit", (action, step, nth))

    assert len(answered(twin)) == len(set(answered(twin))) == len(QUESTIONS)
    kept = await receipts(folder)
    assert len(kept) == len(QUESTIONS)
    await bought_once(twin, folder, model.partition("/")[0], kept)


@pytest.mark.parametrize(("step", "nth"), [("asking", 1), ("asked live", 1), ("asked live", 3)])
async def test_killed_on_the_live_lane_no_question_is_paid_for_twice(
    tmp_path: Path, twin: RunningTwin, child: Child, index: Path, step: str, nth: int
) -> None:
    """What was not sent is asked again; what was, and whose answer died with the process, is not."""
    folder, model = tmp_path / "copy", MODELS[0]
    shutil.copytree(index, folder)
    await limit(folder, twin, model)

    run = child.at(twin, folder, model=model)
    assert run("live", step, nth) == -signal.SIGKILL
    sent = len(twin.requests)
    assert run("live") == 0
    assert len([it for it in twin.requests if it.path.endswith("/v1/messages")]) == len(QUESTIONS)
    async with Ragkit.open(settings(folder, urls(twin), model)) as rag:
        (report,) = rag.batches.jobs()
    assert report.job.state == "done"
    lost = [it for it in report.items if it.state == "failed"]
    assert all("not asked a second time" in it.reason for it in lost)
    assert report.counts.get("answered", 0) == len(QUESTIONS) - len(lost) and len(lost) <= sent
    await lapse(folder)
    kept = await receipts(folder)
    assert len({it.id for it in kept}) == len(kept) and await held(folder) == 0
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin) if not lost else len(kept) <= len(QUESTIONS)


async def lapse(folder: Path) -> None:
    """Holds of calls in which the process died are posted once their lease is over."""
    ledger = open_sqlite(folder / "kb" / "ledger.db", Options(clock=lambda: datetime.now(UTC) + timedelta(hours=1)))
    try:
        await ledger.sweep()
        assert (await ledger.audit()).open_holds == 0
    finally:
        await ledger.aclose()
