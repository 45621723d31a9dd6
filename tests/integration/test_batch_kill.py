"""kill -9 at every step of a batch: each question is billed once, at half price, and nothing stays held."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import forks
from ragkit import Ragkit
from ragkit.budget import Budget
from ragkit.ledgers import open_ledger
from ragkit.money import PICO_PER_USD
from ragkit.window import parse_window
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import DONE, QUESTIONS, answered, held, ingest, invoiced, receipts, settings, urls

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
CREATES = {
    "anthropic": "/v1/messages/batches",
    "openai": "/v1/batches",
    "gemini": ":batchGenerateContent",
    "vertex": "/batchPredictionJobs",
}


def cases() -> Iterator[Any]:
    """Every step at every provider."""
    for model in MODELS:
        for action, step, nth in STEPS:
            marks = () if (model, step) in QUICK else (pytest.mark.slow,)
            yield pytest.param(model, action, step, nth, marks=marks, id=f"{model.partition('/')[0]}-{step}")


class Child:
    """Orders to a process that carries each out in a fork."""

    def __init__(self, script: Path = CHILD) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=forks.environment(),
        )

    def run(self, **order: Any) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
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

    def run(what: str, fail: str = "", nth: int = 1) -> int:
        place = {"folder": str(folder), "urls": urls(twin), "model": model}
        return child.run(action=what, step=fail, nth=nth, now=twin.clock.now().isoformat(), **place)

    if action == "collect":
        assert run("submit") == 0
        twin.clock.advance(DONE)
    assert run(action, step, nth) == -signal.SIGKILL
    if action == "submit":
        assert run("submit") == 0
        twin.clock.advance(DONE)
    assert run("collect") == 0

    provider = model.partition("/")[0]
    created = [it for it in twin.requests if it.method == "POST" and it.path.endswith(CREATES[provider])]
    assert len(created) == 1
    assert len(answered(twin)) == len(set(answered(twin))) == len(QUESTIONS)
    assert {line.lane for line in twin.invoice.lines} == {"batch"}
    kept = await receipts(folder)
    assert len(kept) == len(QUESTIONS)
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin) > 0
    assert await held(folder) == 0


@pytest.mark.parametrize(("step", "nth", "answers"), [("asking", 2, 3), ("asked live", 1, 2), ("asked live", 3, 2)])
async def test_killed_on_the_live_lane_no_question_is_paid_for_twice(
    tmp_path: Path, twin: RunningTwin, child: Child, index: Path, step: str, nth: int, answers: int
) -> None:
    """What was not sent is asked again; what was, and whose answer died with the process, is not."""
    folder, model = tmp_path / "copy", MODELS[0]
    shutil.copytree(index, folder)
    await limit(folder, twin, model)

    def run(fail: str, nth: int) -> int:
        place = {"folder": str(folder), "urls": urls(twin), "model": model}
        return child.run(action="live", step=fail, nth=nth, now=twin.clock.now().isoformat(), **place)

    assert run(step, nth) == -signal.SIGKILL
    assert run("", 1) == 0
    assert len([it for it in twin.requests if it.path.endswith("/v1/messages")]) == len(QUESTIONS)
    kept = await receipts(folder)
    assert len(kept) == len({it.id for it in kept}) == len(QUESTIONS)
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin) > 0
    assert await held(folder) == 0
    async with Ragkit.open(settings(folder, urls(twin), model)) as rag:
        (report,) = rag.batches.jobs()
    assert report.job.state == "done"
    assert report.counts.get("answered", 0) == answers
    assert report.cost_pico == invoiced(twin)
    lost = [it for it in report.items if it.state == "failed"]
    assert all("not asked a second time" in it.reason and it.answer is not None for it in lost)


async def limit(folder: Path, twin: RunningTwin, model: str) -> None:
    """A budget, so that what is held can be seen."""
    ledger = open_ledger(settings(folder, urls(twin), model))
    await ledger.set_budget(Budget("tenant", "default", parse_window("month", "UTC"), PICO_PER_USD, "refuse"))
    await ledger.aclose()
