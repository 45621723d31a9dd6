"""Metadata: what stands at the top of a file, what was given with a run, and searching by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ragkit.errors import ConfigError
from ragkit.settings import IngestSettings
from ragkit.store import IndexSchema, Store, StoreQuery
from ragkit.stores.edge import open_edge
from ragkit.words.bm25 import encode_query
from ragkit_ingest.facts import MOST_KEYS, check_given, merged, written
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse import parse
from ragkit_ingest.pipeline import Destination, IngestOptions, chunking_name, ingest
from ragkit_ingest.report import IngestReport

SETTINGS = IngestSettings(workers=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_edge(tmp_path / "kb", IndexSchema(chunking_name(SETTINGS)), create=True)
    yield opened
    await opened.aclose()


async def run(store: Store, *paths: Path, dry_run: bool = False, **given: str) -> IngestReport:
    options = IngestOptions(here=paths[0].parent, metadata=tuple(given.items()), dry_run=dry_run)
    return await ingest(paths, Destination(store), settings=SETTINGS, options=options)


async def found(store: Store, **where: str) -> set[str]:
    query = StoreQuery("default", encode_query("holiday"), 10, filters=tuple(where.items()))
    return {hit.chunk.source for hit in (await store.search(query)).sparse}


def page(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team: hr\nyear: 2026", {"team": "hr", "year": "2026"}),
        ('owner = "Ann B."\n', {"owner": "Ann B."}),
        ("tags: [a, 'b c', a]\nteam: hr # ours", {"tags": "a\nb c", "team": "hr"}),
        ("tags:\n  - a\n  - \"b\"\nteam: 'x: y'", {"tags": "a\nb", "team": "x: y"}),
        ("title: T\nsource: me\ntenant: rival", {}),
        ("format: {html: true}\nabstract: |\n  long\nempty:\n nested: 1\n# team: hr\n-: x", {}),
        (f"long: {'x' * 101}\nurl: http://x/y", {"url": "http://x/y"}),
        ("\n".join(f"k{number}: v" for number in range(40)), {f"k{number}": "v" for number in range(MOST_KEYS)}),
        ("many: [" + "a, " * 9 + ", ".join(map(str, range(20))) + "]", {}),
    ],
)
def test_the_top_of_a_file_says_plain_things(text: str, expected: dict[str, str]) -> None:
    assert written(text) == {f"meta.{key}": value for key, value in expected.items()}


def test_it_is_read_from_markdown_and_not_from_the_rest_of_it() -> None:
    data = b"---\ntitle: Leave\nteam: hr\n---\n\n# Leave\n\nteam: sales\n"
    parsed = parse("markdown", data, Limits())
    assert (parsed.title, dict(parsed.metadata)) == ("Leave", {"meta.team": "hr"})
    assert not parse("markdown", b"# Leave\n\n---\nteam: hr\n---\n", Limits()).metadata


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "x"}, "'source' cannot be a key of metadata: use a word"),
        ({"a b": "x"}, "'a b' cannot be a key"),
        ({"": "x"}, "'' cannot be a key"),
        ({"team": "x" * 101}, "the value of 'team' is too long: 100 characters"),
        ({"team": "a\nb"}, "on one line"),
        ({f"k{number}": "v" for number in range(MOST_KEYS + 1)}, "17 keys of metadata are too many: 16 are allowed"),
    ],
)
def test_what_cannot_be_kept_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_given(given.items())


def test_an_empty_value_takes_a_key_back() -> None:
    assert merged({"a": "1", "b": "2"}, {"b": "", "c": "3"}) == {"a": "1", "c": "3"}


async def test_searches_are_narrowed_by_what_was_written_and_given(store: Store, tmp_path: Path) -> None:
    docs = page(tmp_path / "docs", "hr.md", "---\nteam: hr\ntags: [leave, paid]\n---\n\nThe holiday of all.")
    page(docs, "dev.md", "---\nteam: dev\n---\n\nA holiday from code.")
    await run(store, docs, year="2026")
    assert await found(store) == await found(store, year="2026") == {"docs/hr.md", "docs/dev.md"}
    assert await found(store, team="hr") == await found(store, tags="paid", team="hr") == {"docs/hr.md"}
    assert await found(store, source="docs/dev.md", team="dev") == {"docs/dev.md"}
    assert await found(store, team="hr", tags="unpaid") == await found(store, team="2026") == set()


async def test_what_was_given_stays_wins_and_can_be_taken_back(store: Store, tmp_path: Path) -> None:
    docs = page(tmp_path / "docs", "a.md", "---\nteam: sales\n---\n\nThe holiday of all.")
    await run(store, docs, team="hr")
    assert (await found(store, team="hr"), await found(store, team="sales")) == ({"docs/a.md"}, set())
    assert (await run(store, docs)).unchanged == 1
    (docs / "a.md").write_text("---\nteam: sales\n---\n\nThe holiday of most.")
    assert (await run(store, docs)).updated == 1
    assert await found(store, team="hr") == {"docs/a.md"}
    assert (await run(store, docs, team="dev", dry_run=True)).updated == 1
    report = await run(store, docs, team="")
    assert (report.updated, report.chunks_added, report.chunks_deleted) == (1, 1, 1)
    assert (await found(store, team="hr"), await found(store, team="sales")) == (set(), {"docs/a.md"})
    assert (await store.verify()).clean


async def test_a_record_remembers_its_last_versions(store: Store, tmp_path: Path) -> None:
    docs = page(tmp_path / "docs", "a.md", "version 1")
    for number in range(1, 13):
        (docs / "a.md").write_text(f"version {number}")
        await run(store, docs)
        await run(store, docs)
    (record,) = await store.records("default")
    assert [version.number for version in record.history] == list(range(3, 13))
    assert len({version.digest for version in record.history}) == 10
    assert record.history[-1].digest == record.metadata["sha256"]
    assert [version.committed for version in record.history] == sorted(version.committed for version in record.history)
    assert all((version.chunks, version.characters) == (1, 9 + (version.number > 9)) for version in record.history)
