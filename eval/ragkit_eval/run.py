"""Runs a suite: every case by every set-up and seed, several at once; what is done already is not done again."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ragkit.errors import ConfigError, RagkitError
from ragkit.rag import Ragkit
from ragkit_eval.batched import POLL_SECONDS, ask_batched
from ragkit_eval.cases import Case, Dataset
from ragkit_eval.judge import Judged, open_judge
from ragkit_eval.loaders import Source, load
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import Row, System, row_from_line, row_to_line
from ragkit_eval.sandbox import Base, Library, twin_overlay
from ragkit_eval.scoring import Scorer
from ragkit_eval.suite import Setup, Suite
from ragkit_eval.twin.fixture import RunningTwin, running_twin

ROWS, MARK = "rows.jsonl", "suite.sha256"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, and the seconds that it will still take; None before anything is known."""

    done: int
    total: int
    left: float | None

    def __str__(self) -> str:
        left = "" if self.left is None else f", {self.left:,.0f} s left"
        return f"{self.done:,} of {self.total:,} questions{left}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its rows and its indexes, how it starts from the user's settings, and who hears of progress."""

    folder: Path
    base: Base = field(default_factory=Base)
    progress: Callable[[Progress], None] = lambda _: None
    poll: float = POLL_SECONDS
    """Seconds between two looks at a batch."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A set-up on the cases that one seed drew from a data set."""

    data: Dataset
    setup: Setup
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data.name}-{self.setup.name}-{self.seed}"

    @property
    def where(self) -> tuple[str, str, int]:
        return self.data.name, self.setup.name, self.seed


@dataclass(frozen=True, slots=True)
class Finished:
    """All rows, and the twin's invoice less the receipts, in pico-dollars: None where real providers were asked.

    `ingested_pico` is what this run has paid for vectors, None where a part of that is unknown.
    """

    rows: tuple[Row, ...]
    difference_pico: int | None
    ingested_pico: int | None = 0
    judged_pico: int = 0
    unreadable: tuple[str, ...] = ()


async def run_suite(suite: Suite, sources: Iterable[Source], place: Place) -> Finished:
    """Run what is not there yet. Raises `ConfigError` where the folder holds another suite's rows."""
    sources = tuple(sources)
    done = _resume(suite, sources, place.folder)
    cells = [
        Cell(data, setup, seed)
        for seed in suite.seeds
        for data in (load(source, seed) for source in sources)
        for setup in suite.setups
    ]
    total = sum(len(cell.data.cases) for cell in cells)
    writer = _Writer(place, {row.key: row for row in done}, total)
    library = Library(place.folder / "work")
    differences = [await _run_cell(cell, suite, library, place, writer) for cell in cells]
    known = [difference for difference in differences if difference is not None]
    rows = tuple(writer.rows[(*cell.where, case.id)] for cell in cells for case in cell.data.cases)
    paid, judged = tuple(library.ingested_pico.values()), sum(row.judge_pico for row in rows)
    ingested = None if None in paid else sum(pico for pico in paid if pico is not None)
    return Finished(rows, sum(known) if known else None, ingested, judged, tuple(library.unreadable))


async def _run_cell(cell: Cell, suite: Suite, library: Library, place: Place, writer: _Writer) -> int | None:
    """The twin's invoice less the receipts of this cell, where it had to be run."""
    todo = [case for case in cell.data.cases if (*cell.where, case.id) not in writer.rows]
    if not todo:
        return None
    scorer = Scorer.of(cell.data)
    async with AsyncExitStack() as stack:
        twin = stack.enter_context(running_twin(seed=cell.seed)) if suite.mode == "twin" else None
        system = await stack.enter_async_context(opened(cell, library, place.base, twin))
        if suite.mode == "batch":
            system = await ask_batched(todo, system, poll=place.poll)
        if suite.judge:
            overlays = (cell.setup.overlay,) if twin is None else (twin_overlay(twin), cell.setup.overlay)
            judge = open_judge(suite.judge, place.base.settings(*overlays))
            stack.push_async_callback(judge.aclose)
            system = Judged(system, judge)
        rows = await _ask_all(cell, todo, system, scorer, suite.parallel, writer)
        if twin is None or any(row.cost_pico is None for row in rows):
            return None
        return twin.invoice.total_pico - sum((row.cost_pico or 0) + row.judge_pico for row in rows)


@asynccontextmanager
async def opened(cell: Cell, library: Library, base: Base, twin: RunningTwin | None) -> AsyncIterator[System]:
    """The system of a cell over an index of its own."""
    overlays = [cell.setup.overlay] if twin is None else [twin_overlay(twin), cell.setup.overlay]
    settings = base.settings(*overlays)
    copy = await library.copy(cell.data, settings, cell.name)
    settings = settings.model_copy(update={"store": settings.store.model_copy(update={"path": copy.path})})
    if cell.setup.system != "ragkit":
        from ragkit_eval.peers import open_peer

        async with open_peer(cell.setup.system, cell.data, settings) as peer:
            yield peer
        return
    async with Ragkit.open(settings) as rag:
        yield RagkitSystem(rag, copy.homes, ranked=_free_to_search(rag))


def _free_to_search(rag: Ragkit) -> bool:
    """Whether a second search for the whole ranking costs nothing."""
    parts = (rag.parts.embedder, rag.parts.reranker)
    return all(part is None or part.price_id is None for part in parts)


async def _ask_all(
    cell: Cell, todo: list[Case], system: System, scorer: Scorer, parallel: int, writer: _Writer
) -> list[Row]:
    gate = asyncio.Semaphore(parallel)

    async def ask(case: Case) -> Row:
        async with gate:
            row = await answer_case(case, system, scorer, cell.where)
        writer.add(row)
        return row

    return list(await asyncio.gather(*map(ask, todo)))


async def answer_case(case: Case, system: System, scorer: Scorer, where: tuple[str, str, int]) -> Row:
    """A row whatever happens: a failure is a result too, and what it cost is on it."""
    try:
        return scorer.row(case, await system.ask(case), where)
    except ConfigError:
        raise
    except RagkitError as error:
        cost = 0 if error.receipt is None else error.receipt.cost_pico
        return Row(*where, case.id, case.question, {}, cost, 0.0, answers=case.answers, error=str(error))


class _Writer:
    """Appends each row as soon as it is there, so that a killed run goes on where it was."""

    def __init__(self, place: Place, rows: dict[tuple[str, str, int, str], Row], total: int) -> None:
        self.rows = rows
        self._place = place
        self._total = total
        self._before = len(rows)
        self._began = time.monotonic()

    def add(self, row: Row) -> None:
        self.rows[row.key] = row
        with (self._place.folder / ROWS).open("a", encoding="utf-8") as file:
            file.write(row_to_line(row) + "\n")
        fresh, left = len(self.rows) - self._before, self._total - len(self.rows)
        self._place.progress(Progress(len(self.rows), self._total, (time.monotonic() - self._began) / fresh * left))


def _resume(suite: Suite, sources: Iterable[Source], folder: Path) -> list[Row]:
    """The rows that a run of the same suite left; half a line at the end is what a kill leaves."""
    digest = hashlib.sha256(f"{suite.model_dump_json(exclude={'parallel'})} {sources}".encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    mark, file = folder / MARK, folder / ROWS
    if mark.exists() and mark.read_text("utf-8") != digest:
        raise ConfigError(f"{folder} holds the results of another suite: name another folder, or give --fresh")
    mark.write_text(digest, encoding="utf-8")
    if not file.exists():
        return []
    lines = file.read_text("utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        file.write_text("".join(whole), encoding="utf-8")
    return [row_from_line(line) for line in whole]


def forget(folder: Path) -> None:
    """Begin a run anew; only what runs make is deleted."""
    for name in (ROWS, MARK):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "work", ignore_errors=True)
