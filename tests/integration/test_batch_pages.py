"""Corpora larger than a job: chunks are read a page at a time, and each page is a job that is begun before the next."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from ragkit import Ragkit
from ragkit.batches.journal import Journal
from ragkit.batches.journal_file import FILE_NAME, JournalFile
from ragkit.batches.sending import Env
from ragkit.budget import Budget
from ragkit.contexts.service import ContextRun
from ragkit.errors import BudgetExceeded
from ragkit.nouns import Account, Chunk
from ragkit.store import Store
from ragkit.vectors.service import VectorRun
from ragkit.window import parse_window
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import DONE, answered, held, invoiced, receipts
from tests.integration.context_world import HAIKU, INTRODUCTION, WEAR, chunks_of, opened, placed, write
from tests.integration.kills import Child, bought_once, kill, limit

MOST = 4
"""Chunks of a job in these tests."""
NAMES = "abcdefgh"
EMBEDDER = {"name": "openai", "dimensions": 64, "lane": "batch"}
VECTORS: dict[str, Any] = {"embedder": EMBEDDER, "ingest": {"context": "off"}}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def page(name: str) -> str:
    parts = "".join(f"\n## Part {name}{n}\n\nIt is serviced every {n + 2} days. {WEAR}\n" for n in range(3))
    return f"# Maintenance {name}\n\n{INTRODUCTION} {WEAR}\n{parts}"


def documents(folder: Path) -> Path:
    return write(folder, **{name: page(name) for name in NAMES})


async def without_any(rag: Ragkit, folder: Path) -> int:
    """An index of documents that lack what a batch would bring: a budget let none be bought; how many chunks."""
    month = parse_window("month", "UTC")
    await rag.parts.ledger.set_budget(Budget("lane", "batch", month, 1, "refuse"))
    report = await rag.ingest(documents(folder))
    assert isinstance(report.first_error, BudgetExceeded)
    await rag.parts.ledger.set_budget(Budget("lane", "batch", month, None))
    return sum(map(len, (await chunks_of(rag)).values()))


class Watched:
    """A store that counts how many chunks are in memory with their texts as the work goes on.

    Those that other tests of this process have left are not counted: they are kept, so that none takes their place.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._older = {id(it): it for it in gc.get_objects() if type(it) is Chunk}
        self.sizes: list[int] = []
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def pending_pages(
        self, tenant: str, size: int, but: Collection[str] = ()
    ) -> AsyncIterator[tuple[Chunk, ...]]:
        async for chunks in self._store.pending_pages(tenant, size, but):
            self.sizes.append(len(chunks))
            yield chunks

    def look(self, step: str) -> None:
        self.most = max(self.most, sum(type(it) is Chunk and self._new(it) for it in gc.get_objects()))

    def _new(self, chunk: Chunk) -> bool:
        return bool(chunk.text) and id(chunk) not in self._older


def texts_sent(twin: RunningTwin) -> Counter[str]:
    uploads = [it.raw.decode() for it in twin.requests if it.path.endswith("/files")]
    lines = [line for raw in uploads for line in raw.splitlines() if line.startswith('{"custom_id"')]
    return Counter(text for line in lines for text in json.loads(line)["body"]["input"])


async def test_vectors_are_asked_for_page_by_page_and_no_more_than_that_is_in_memory(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted = await without_any(rag, tmp_path)
        gc.collect()
        store = Watched(await rag.store())
        env = Env(now=twin.clock.now, at=store.look)
        run = VectorRun(rag.parts, Account(), env, MOST)
        assert await run.start(cast("Store", store), ()) is None
        assert run.followed is not None and run.followed.waiting == wanted == sum(store.sizes)
        assert [sum(job.counts.values()) for job in run.followed.jobs] == [1] * (wanted // MOST)
        assert max(store.sizes) == MOST and 0 < store.most <= 3 * MOST < wanted
        again = VectorRun(rag.parts, Account(), env, MOST)
        await again.start(cast("Store", store), ())
        assert again.followed is not None and len(again.followed.jobs) == len(run.followed.jobs)
        assert set(texts_sent(twin).values()) == {1} and len(texts_sent(twin)) == wanted
        twin.clock.advance(DONE)
        await run.collect(cast("Store", store), ())
        assert (run.followed.given, run.followed.waiting) == (wanted, 0)
    kept = await receipts(tmp_path)
    assert sum(it.cost_pico or 0 for it in kept) == invoiced(twin) > 0 == await held(tmp_path)


async def test_two_runs_at_once_ask_for_each_chunk_once(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted, store = await without_any(rag, tmp_path), await rag.store()
        runs = [VectorRun(rag.parts, Account(), Env(now=twin.clock.now), MOST) for _ in range(3)]
        await asyncio.gather(*(run.start(store, ()) for run in runs))
        assert set(texts_sent(twin).values()) == {1} and len(texts_sent(twin)) == wanted
        assert all(run.followed is not None and run.followed.jobs for run in runs)


async def test_what_arrives_between_the_reading_of_a_page_and_its_job_is_not_asked_again(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, **VECTORS) as rag:
        wanted, store, env = await without_any(rag, tmp_path), await rag.store(), Env(now=twin.clock.now)
        await VectorRun(rag.parts, Account(), env, MOST).start(store, ())
        twin.clock.advance(DONE)

        class Late(Watched):
            async def pending_pages(
                self, tenant: str, size: int, but: Collection[str] = ()
            ) -> AsyncIterator[tuple[Chunk, ...]]:
                async for chunks in self._store.pending_pages(tenant, size, but):
                    await VectorRun(rag.parts, Account(), env, MOST).collect(store, ())
                    yield chunks

        run = VectorRun(rag.parts, Account(), env, MOST)
        await run.start(cast("Store", Late(store)), ())
        assert run.followed is not None and run.followed.waiting == 0
        assert await store.pending_dense("default", 1) == ()
        assert len(texts_sent(twin)) == texts_sent(twin).total() == wanted


async def test_a_page_that_a_budget_refuses_ends_the_run_and_what_was_sent_stays(
    tmp_path: Path, twin: RunningTwin
) -> None:
    async with opened(tmp_path, twin, **VECTORS) as rag:
        await without_any(rag, tmp_path)
        store, env = await rag.store(), Env(now=twin.clock.now)
        first = VectorRun(rag.parts, Account(), env, MOST)
        twin.faults.set([Fault("rate_limit", path="/v1/files", nth=(2,))])
        await first.start(store, ())
        assert first.followed is not None and first.followed.error is not None
        assert [job.job.state for job in first.followed.jobs] == ["open", "open"], "the third was not written down"
        assert texts_sent(twin).total() == 2 * MOST or set(texts_sent(twin).values()) == {1}


async def test_contexts_are_asked_for_page_by_page_and_stretches_stay_whole(tmp_path: Path, twin: RunningTwin) -> None:
    async with opened(tmp_path, twin) as rag:
        await without_any(rag, tmp_path)
        store, env = await rag.store(), Env(now=twin.clock.now)
        sizes = {name: len(chunks) for name, chunks in (await chunks_of(rag)).items()}
        run = ContextRun(rag.parts, Account(), env, MOST + 1)
        await run.start(store)
        counts = [sum(job.counts.values()) for job in run.placed.jobs]
        assert len(counts) == len(NAMES) // 2 and set(counts) == {2 * size for size in sizes.values()}
        again = ContextRun(rag.parts, Account(), env, MOST + 1)
        assert len(await again.start(store)) == len(NAMES) and len(again.placed.jobs) == len(counts)
        twin.clock.advance(DONE)
        assert await run.collect(store) == frozenset()
        assert (run.placed.given, run.placed.waiting) == (sum(sizes.values()), 0)
    assert len(answered(twin)) == len(set(answered(twin))) == sum(sizes.values())
    assert sum(it.cost_pico or 0 for it in await receipts(tmp_path)) == invoiced(twin) > 0 == await held(tmp_path)


@pytest.mark.parametrize("kind", ["vectors", "contexts"])
async def test_nothing_that_is_read_from_the_journal_grows_with_the_corpus(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What is under way is known by name: the questions of other jobs are not read for it."""
    rows: list[int] = []
    requests: list[Sequence[Any]] = []

    class Counted(JournalFile):
        def counted(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            found = plain(self, sql, values)
            rows.append(len(found) if sql.startswith("SELECT") and "record" in sql else 0)
            requests.extend([values] if sql.startswith("SELECT asked") else [])
            return found

    plain = JournalFile.rows
    async with opened(tmp_path, twin, **(VECTORS if kind == "vectors" else {})) as rag:
        wanted, store, env = await without_any(rag, tmp_path), await rag.store(), Env(now=twin.clock.now)

        async def run(action: str) -> None:
            if kind == "vectors":
                vectors = VectorRun(rag.parts, Account(), env, MOST)
                await (vectors.start if action == "start" else vectors.collect)(store, ())
            else:
                contexts = ContextRun(rag.parts, Account(), env, MOST)
                await (contexts.start if action == "start" else contexts.collect)(store)

        monkeypatch.setattr(JournalFile, "rows", Counted.counted)
        await run("start")
        requests.clear()
        await run("start")
        assert requests == [], "nothing was to be sent, and no question was read"
        twin.clock.advance(DONE)
        await run("collect")
        await run("collect")
    assert 0 < max(rows) <= 2 * MOST < wanted


async def test_a_journal_of_an_earlier_version_learns_what_is_under_way(tmp_path: Path, twin: RunningTwin) -> None:
    def told(journal: Journal) -> tuple[Any, ...]:
        return (
            journal.waiting("default", "vectors"),
            journal.waiting("default", "contexts"),
            journal.waiting("x", "vectors"),
        )

    async with opened(tmp_path, twin, **VECTORS) as rag:
        docs = documents(tmp_path)
        await rag.ingest(docs)
    async with opened(tmp_path, twin, embedder=EMBEDDER) as rag:
        wanted = placed(await rag.ingest(docs)).waiting
        chunks = sum((await chunks_of(rag)).values(), ())
    journal = Journal(tmp_path / "kb")
    before = told(journal)
    assert sum(before[0].values()) == sum(before[1].values()) == wanted == len(chunks) and before[2] == {}
    journal.close()
    with sqlite3.connect(tmp_path / "kb" / FILE_NAME) as old:
        old.executescript("DROP TABLE wanted; PRAGMA user_version = 2")
    old.close()
    async with opened(tmp_path, twin, **VECTORS) as rag:
        bought = texts_sent(twin).total()
        await rag.ingest(docs)
        assert texts_sent(twin).total() == bought, "what was under way before is not asked again"
    journal = Journal(tmp_path / "kb")
    assert told(journal) == before
    journal.close()


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child(Path(__file__).with_name("context_child.py"))
    yield child
    child.close()


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Documents that are searchable by their words and lack vectors, or contexts; each test copies one."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in ("vectors", "contexts")}

    async def ingest() -> None:
        for kind, folder in folders.items():
            with running_twin() as twin:
                async with opened(folder, twin, **(VECTORS if kind == "vectors" else {})) as rag:
                    await without_any(rag, folder)

    asyncio.run(ingest())
    return folders


STEPS = (
    ("start", "job written", 2),
    ("start", "held", 2),
    ("start", "sent", 2),
    ("start", "submitted", 1),
    ("start", "submitted", 3),
    ("collect", "collected", 1),
    ("collect", "filled", 2),
    ("collect", "delivered", 1),
)
QUICK = {("job written", 2), ("submitted", 1), ("filled", 2)}


def cases() -> Iterator[Any]:
    for kind in ("vectors", "contexts"):
        for action, step, nth in STEPS:
            marks = () if (step, nth) in QUICK else (pytest.mark.slow,)
            yield pytest.param(kind, action, step, nth, marks=marks, id=f"{kind}-{step}-{nth}")


@pytest.mark.parametrize(("kind", "action", "step", "nth"), list(cases()))
async def test_killed_in_or_between_pages_each_chunk_is_paid_for_once(
    tmp_path: Path,
    twin: RunningTwin,
    child: Child,
    indexes: dict[str, Path],
    kind: str,
    action: str,
    step: str,
    nth: int,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(indexes[kind], folder)
    await limit(folder, twin, HAIKU)

    sections = VECTORS if kind == "vectors" else {}
    run = child.at(twin, folder, model=HAIKU, sections=sections, most=2 * MOST)
    kill(run, twin, "start", (action, step, nth))
    assert run("start") == 0, "nothing is left to be asked for"

    async with opened(folder, twin, **sections) as rag:
        assert kind == "contexts" or await (await rag.store()).pending_dense("default", 10) == ()
        chunks = [chunk for own in (await chunks_of(rag)).values() for chunk in own]
        jobs = [report.job.state for report in rag.batches.jobs() if report.job.state != "refused"]
    assert kind == "vectors" or all(chunk.context == INTRODUCTION for chunk in chunks)
    assert jobs == ["done"] * (len(chunks) // (2 * MOST))
    kept = await receipts(folder)
    assert len(kept) == len(twin.invoice.lines) > 0
    await bought_once(twin, folder, "openai" if kind == "vectors" else "anthropic", kept, batches=len(jobs))
