from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from ragkit.child import MOST_HELD
from ragkit.embed import Embedded
from ragkit.errors import Unavailable
from ragkit.nouns import Usage
from ragkit.settings import IngestSettings
from ragkit.store import IndexSchema, Store, StoreQuery
from ragkit.stores.edge import open_edge
from ragkit.words.bm25 import encode_query
from ragkit_ingest import pool
from ragkit_ingest.chunk import Sizes
from ragkit_ingest.limits import Limits
from ragkit_ingest.pipeline import Destination, IngestOptions, chunking_name, ingest
from ragkit_ingest.report import IngestReport, Progress, report_text, report_to_json
from ragkit_ingest.work import Job, Outcome, Recipe, work

SETTINGS = IngestSettings(workers=2)


class CountingEmbedder:
    """Vectors of lengths; remembers what it was asked, and fails from a call on when told to."""

    name = "test:lengths"
    dimensions = 2
    price_id: str | None = "test/lengths"

    def __init__(self, fail_from: int | None = None) -> None:
        self.texts: list[str] = []
        self.calls = 0
        self.fail_from = fail_from

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        self.calls += 1
        if self.fail_from is not None and self.calls >= self.fail_from:
            raise Unavailable("the embedder is away", usage=Usage(input=1))
        self.texts += texts
        return Embedded(tuple((1.0, 0.0) for _ in texts), Usage(input=10 * len(texts)))

    async def embed_query(self, text: str) -> Embedded:
        raise NotImplementedError

    async def aclose(self) -> None: ...


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_edge(tmp_path / "kb", IndexSchema(chunking_name(SETTINGS), "test:lengths", 2), create=True)
    yield opened
    await opened.aclose()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for number in range(5):
        write(
            folder / f"{number}.md",
            f"# Page {number}\n\nThe word of page {number} is w{number}ord. " + "Filler of a page. " * 200,
        )
    return folder


def write(file: Path, text: str) -> None:
    """Old enough that nobody expects it to change within one tick."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    past = time.time_ns() - 10**10
    os.utime(file, ns=(past, past))


async def run(
    store: Store,
    docs: Path,
    embedder: CountingEmbedder | None = None,
    *,
    dry_run: bool = False,
    delete_missing: bool = True,
    rebuild: bool = False,
) -> IngestReport:
    destination = Destination(store, embedder=embedder, price=lambda usage: usage.input * 7)
    options = IngestOptions(dry_run=dry_run, delete_missing=delete_missing, rebuild=rebuild)
    return await ingest([docs], destination, settings=SETTINGS, options=options)


async def found(store: Store, word: str, tenant: str = "default") -> list[str]:
    hits = (await store.search(StoreQuery(tenant, encode_query(word), 10))).sparse
    return [hit.chunk.text for hit in hits]


def counts(report: IngestReport) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.deleted, len(report.failures)


async def test_add_change_and_delete(store: Store, docs: Path) -> None:
    first = await run(store, docs)
    assert counts(first) == (5, 0, 0, 0, 0)
    assert len(await found(store, "w3ord")) == 1
    assert counts(await run(store, docs)) == (0, 0, 5, 0, 0)
    write(docs / "3.md", "# Page\n\nNow it is changed.")
    (docs / "4.md").unlink()
    report = await run(store, docs)
    assert counts(report) == (0, 1, 3, 1, 0)
    assert report.chunks_deleted > 1
    assert (await found(store, "w3ord"), await found(store, "w4ord")) == ([], [])
    assert len(await found(store, "changed")) == 1
    versions = {record.source.rpartition("/")[2]: record.version for record in await store.records("default")}
    assert versions == {"0.md": 1, "1.md": 1, "2.md": 1, "3.md": 2}
    assert (await store.verify()).clean


async def test_a_run_over_folders_leaves_uploads_alone(store: Store, docs: Path, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    write(upload / "docs" / "manual.md", "# Manual\n\nWhat was uploaded.")
    options = IngestOptions(delete_missing=False, here=upload, uploaded=True)
    for version in (1, 2):
        await ingest([upload / "docs" / "manual.md"], Destination(store), settings=SETTINGS, options=options)
        write(upload / "docs" / "manual.md", f"# Manual\n\nUploaded again after version {version}.")
    shutil.rmtree(upload)
    options = IngestOptions(here=tmp_path)
    for _ in range(2):
        report = await ingest([tmp_path / "docs"], Destination(store), settings=SETTINGS, options=options)
        assert (report.deleted, report.failures) == (0, ())
    kept = {record.source: record.version for record in await store.records("default")}
    assert kept["docs/manual.md"] == 2
    assert len(kept) == 6


async def test_chunks_are_spans_of_their_file(store: Store, docs: Path) -> None:
    await run(store, docs)
    for record in await store.records("default"):
        text = (docs / Path(record.source).name).read_text()
        chunks = await store.chunks("default", record.id)
        assert len(chunks) == record.chunks > 1
        assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
        assert len({chunk.id for chunk in chunks}) == len(chunks)


async def test_a_touched_file_is_read_once_and_not_parsed(store: Store, docs: Path) -> None:
    await run(store, docs)
    write(docs / "1.md", (docs / "1.md").read_text())
    report = await run(store, docs)
    assert (counts(report), report.chunks_added) == ((0, 0, 5, 0, 0), 0)
    record = next(record for record in await store.records("default") if record.source.endswith("1.md"))
    assert record.metadata["mtime_ns"] == str((docs / "1.md").stat().st_mtime_ns)
    assert record.version == 1


async def test_a_file_written_just_now_is_looked_at_again(store: Store, docs: Path) -> None:
    (docs / "1.md").write_text("one word here")
    await run(store, docs)
    status = (docs / "1.md").stat()
    (docs / "1.md").write_text("two word here")
    os.utime(docs / "1.md", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (await run(store, docs)).updated == 1


async def test_one_bad_file_stops_nobody_and_keeps_its_old_version(store: Store, docs: Path) -> None:
    await run(store, docs)
    write(docs / "2.md", "")
    (docs / "new.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600)
    report = await run(store, docs)
    reasons = {failure.source.rpartition("/")[2]: failure.reason for failure in report.failures}
    assert set(reasons) == {"2.md", "new.pdf", "old.doc"}
    assert reasons["2.md"] == "is empty"
    assert "2007" in reasons["old.doc"]
    assert counts(report) == (0, 0, 4, 0, 3)
    assert len(await found(store, "w2ord")) == 1


async def test_no_delete_and_other_folders_keep_documents(store: Store, docs: Path, tmp_path: Path) -> None:
    await run(store, docs)
    (docs / "0.md").unlink()
    assert (await run(store, docs, delete_missing=False)).deleted == 0
    write(tmp_path / "more" / "x.md", "another folder")
    report = await ingest([tmp_path / "more"], Destination(store), settings=SETTINGS)
    assert (report.added, report.deleted) == (1, 0)
    assert len(await store.records("default")) == 6
    assert (await run(store, docs)).deleted == 1


async def test_tenants_do_not_see_each_other(store: Store, docs: Path) -> None:
    await run(store, docs)
    report = await ingest([docs], Destination(store, "other"), settings=SETTINGS)
    assert report.added == 5
    assert len(await found(store, "w1ord", "other")) == 1
    (docs / "1.md").unlink()
    await ingest([docs], Destination(store, "other"), settings=SETTINGS)
    assert (await found(store, "w1ord", "other"), len(await found(store, "w1ord"))) == ([], 1)


async def test_a_dry_run_says_what_would_happen_and_writes_nothing(store: Store, docs: Path) -> None:
    embedder = CountingEmbedder()
    await run(store, docs, embedder)
    write(docs / "0.md", "changed text " * 400)
    write(docs / "new.md", "new text")
    (docs / "4.md").unlink()
    before = await store.records("default"), embedder.calls
    planned = await run(store, docs, embedder, dry_run=True)
    assert (await store.records("default"), embedder.calls) == before
    assert planned.cost_pico == 7 * planned.usage.input > 0
    actual = await run(store, docs, embedder)
    assert counts(planned) == counts(actual) == (1, 1, 3, 1, 0)
    assert planned.chunks_added == actual.chunks_added
    assert "would be added 1" in report_text(planned)


async def test_rebuild_reads_everything_again(store: Store, docs: Path) -> None:
    await run(store, docs)
    report = await run(store, docs, rebuild=True)
    assert counts(report) == (0, 5, 0, 0, 0)
    assert (await store.verify()).clean


async def test_vectors_follow_and_are_not_bought_twice(store: Store, docs: Path) -> None:
    embedder = CountingEmbedder()
    report = await run(store, docs, embedder)
    assert report.usage.input == 10 * report.chunks_added
    assert report.cost_pico == 70 * report.chunks_added
    assert (await store.verify()).without_dense == 0
    calls = embedder.calls
    again = await run(store, docs, embedder)
    assert (embedder.calls, again.cost_pico) == (calls, 0)
    assert all(text.startswith("Page") or "# Page" in text for text in embedder.texts), "headings belong to the text"


async def test_an_embedder_that_fails_leaves_everything_searchable(store: Store, docs: Path) -> None:
    write(docs / "long.md", "Another sentence of a long file. " * 9000)
    report = await run(store, docs, CountingEmbedder(fail_from=2))
    assert isinstance(report.error, Unavailable)
    assert counts(report) == (6, 0, 0, 0, 0)
    assert report.usage.input > 640
    assert len(await found(store, "w1ord")) == 1
    missing = (await store.verify()).without_dense
    assert missing > 0
    rest = CountingEmbedder()
    assert (await run(store, docs, rest)).error is None
    assert len(rest.texts) == missing
    assert (await store.verify()).without_dense == 0


async def test_progress_ends_where_it_said(store: Store, docs: Path) -> None:
    seen: list[Progress] = []
    destination = Destination(store, embedder=CountingEmbedder())
    report = await ingest([docs], destination, settings=SETTINGS, progress=seen.append)
    reading = [each for each in seen if each.phase == "read"]
    assert reading[-1].done == reading[-1].total == sum(file.stat().st_size for file in docs.iterdir())
    assert seen[-1] == Progress("embed", report.chunks_added, report.chunks_added, 5, report.chunks_added)


async def test_large_jobs_run_in_processes_and_yield_the_same(store: Store, docs: Path, tmp_path: Path) -> None:
    write(docs / "big.txt", "A sentence with some words in it. " * 60_000)
    assert (docs / "big.txt").stat().st_size > pool.INLINE_BYTES
    (docs / "page.html").write_text("<h1>Page</h1><p>Text of the page</p>")
    report = await run(store, docs)
    assert counts(report) == (7, 0, 0, 0, 0)
    here = {record.source.rpartition("/")[2]: record for record in await store.records("default")}
    for file in docs.iterdir():
        outcome = work(Job(str(file)), Recipe())
        assert outcome is not None
        stored = await store.chunks("default", here[file.name].id)
        assert [(chunk.start, chunk.end, chunk.tokens, chunk.section) for chunk in stored] == [
            (span.start, span.end, span.tokens, span.section) for span in outcome.spans
        ]


async def test_what_a_process_says_is_what_was_worked_out(docs: Path) -> None:
    (docs / "page.html").write_text("<h1>Ä page</h1><p>Text of the page</p><h2>More</h2>" + "<p>words here</p>" * 900)
    jobs = [(file.name, Job(str(file))) for file in sorted(docs.iterdir())]
    recipe = Recipe(Sizes(64, 128))
    answers = [each async for each in pool.outcomes(jobs, recipe, workers=2, size=10**9)]
    assert dict(answers) == {name: work(job, recipe) for name, job in jobs}


async def test_a_slow_consumer_makes_processes_wait_and_misses_nothing(tmp_path: Path) -> None:
    """More than is read ahead, in answers of very different sizes."""
    for number in range(24):
        size = 1 if number % 3 else 12_000
        (tmp_path / f"{number}.md").write_text(f"# Page {number}\n\n" + "A sentence of this page. " * size)
    jobs = [(number, Job(str(tmp_path / f"{number}.md"))) for number in range(24)]
    found: dict[int, Outcome] = {}
    async with aclosing(pool.outcomes(jobs, Recipe(), workers=1, size=10**9)) as answers:
        async for number, outcome in answers:
            assert number == len(found)
            found[number] = outcome
            await asyncio.sleep(0.01 if outcome.text else 0)
    assert sum(len(outcome.text) for outcome in found.values()) > 2 * MOST_HELD
    assert all(found[number] == work(job, Recipe()) for number, job in jobs)


async def test_a_consumer_that_leaves_early_is_not_waited_for(docs: Path) -> None:
    jobs = [(number, Job(str(docs / "0.md"))) for number in range(400)]
    answers = pool.outcomes(jobs, Recipe(), workers=2, size=10**9)
    await anext(answers)
    await asyncio.sleep(1)  # the queue fills up
    await asyncio.wait_for(answers.aclose(), 20)


def never_read(file: Path) -> tuple[Limits, str]:
    """A pipe that nobody writes to: whoever opens it waits, however fast the machine is."""
    os.mkfifo(file)
    return Limits(seconds=5), "longer"


def too_large(file: Path) -> tuple[Limits, str]:
    file.write_text("<r>" + "<a>text</a>" * 700_000 + "</r>")
    return Limits(seconds=600, memory=96 * 2**20), "memory"


@pytest.mark.parametrize("make", [never_read, too_large], ids=["time", "memory"])
async def test_a_file_that_breaks_its_parser_fails_alone(
    tmp_path: Path, make: Callable[[Path], tuple[Limits, str]]
) -> None:
    (tmp_path / "a.md").write_text("fine")
    limits, word = make(tmp_path / "b.xml")
    (tmp_path / "c.md").write_text("fine too")
    jobs = [(name, Job(str(tmp_path / name))) for name in ("a.md", "b.xml", "c.md")]
    answers = [each async for each in pool.outcomes(jobs, Recipe(limits=limits), workers=1, size=10**9)]
    found = dict(answers)
    assert (found["a.md"].reason, found["c.md"].reason) == ("", "")
    assert word in found["b.xml"].reason


async def test_a_cancelled_run_keeps_what_was_committed(store: Store, docs: Path) -> None:
    for number in range(400):
        write(docs / f"many{number}.md", f"# M{number}\n\n" + f"Sentence number {number} of many. " * 300)
    started = asyncio.Event()
    destination = Destination(store)
    running = asyncio.create_task(
        ingest(
            [docs],
            destination,
            settings=SETTINGS,
            progress=lambda each: started.set() if each.documents > 300 else None,
        )
    )
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    kept = len(await store.records("default"))
    assert 0 < kept < 405
    report = await run(store, docs)
    assert report.added == 405 - kept
    await store.sweep()
    assert (await store.verify()).clean


def test_the_report_has_the_documented_shape() -> None:
    report = IngestReport(added=1, chunks_added=2, cost_pico=1_500_000, simulated_pico=500_000)
    assert report_to_json(report) == {
        "documents": {"added": 1, "updated": 0, "unchanged": 0, "deleted": 0, "failed": 0},
        "chunks": {"added": 2, "deleted": 0},
        "failures": [],
        "cost_usd": "0.0000015",
        "simulated_usd": "0.0000005",
        "seconds": 0.0,
    }
    assert report_to_json(replace(report, cost_pico=None))["cost_usd"] is None
