"""What is asked for chunks in want of a context: pure, named by what is sent, marked where that pays."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.batches.journal import Journal
from ragkit.batches.journal_file import FILE_NAME, TABLES
from ragkit.caching.versions import _same
from ragkit.config import load_settings
from ragkit.contexts.model import context_model
from ragkit.contexts.wish import LONGEST, STRETCH, Maker, read_context, stretches, wishes
from ragkit.errors import ConfigError, InvalidAnswer, UnpricedModel
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Completion, Lane, Model, Usage
from ragkit.tokens import estimate_tokens

AT = datetime(2026, 11, 24, tzinfo=UTC)
HAIKU = Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5", 400, "none")
LUNA = Model("gpt-6-luna", "openai", "small", "gpt-6-luna", 400, "none")
WORDS = "The pump is serviced each year by its maker, and never by those who were not shown how. "


def maker(model: Model = HAIKU, tenant: str = "acme", lane: Lane = "batch") -> Maker:
    return Maker(model, tenant, lane, Catalogue.load(), AT)


def document(count: int, times: int = 4, gap: int = 2, **facts: Any) -> list[Chunk]:
    chunks, start = [], 0
    for number in range(count):
        text = f"Chunk {number}. " + WORDS * times
        chunks.append(Chunk(f"c{number}", "d", "d.md", text, start, start + len(text), number, estimate_tokens(text)))
        start += len(text) + gap
    return [replace(chunk, **facts) for chunk in chunks]


def test_the_head_is_the_same_for_all_chunks_and_holds_the_whole_document() -> None:
    chunks = document(6)
    asked = [wish.request.prompt for wish in wishes(chunks, maker())]
    assert len({(prompt.system, prompt.prefix.text, prompt.prefix.ttl) for prompt in asked}) == 1
    assert "\n\n".join(chunk.text for chunk in chunks) in asked[0].prefix.text
    assert [prompt.selected for prompt in asked] == [(chunk,) for chunk in chunks]
    assert all(chunk.text in prompt.evidence for chunk, prompt in zip(chunks, asked, strict=True))
    assert all(prompt.prefix.marked and prompt.prefix.chunks == () for prompt in asked)


def test_the_name_is_made_of_all_that_is_sent_and_of_nothing_else() -> None:
    chunks = document(3)
    names = [wish.name for wish in wishes(chunks, maker())]
    assert len(set(names)) == 3
    same = document(3, document_id="other", context="from before")
    assert [wish.name for wish in wishes(same, maker(lane="standard"))] == names
    others = (
        wishes(document(3, source="e.md"), maker()),
        wishes(document(3, title="Pumps"), maker()),
        wishes(document(4), maker()),
        wishes(chunks, maker(tenant="rival")),
        wishes(chunks, maker(LUNA)),
    )
    assert not {wish.name for other in others for wish in other} & set(names)


@pytest.mark.parametrize("count", [0, 1])
def test_a_document_of_one_chunk_wants_nothing(count: int) -> None:
    assert wishes(document(count), maker()) == ()


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=80))
def test_stretches_hold_every_chunk_in_order_and_stay_short(sizes: Sequence[int]) -> None:
    chunks = [Chunk(f"c{n}", "d", "d.md", "x", n, n + 1, n, size) for n, size in enumerate(sizes)]
    parts = list(stretches(chunks))
    assert [chunk for part in parts for chunk in part] == chunks
    assert all(parts) and len(parts) <= -(-sum(sizes) // STRETCH)
    assert all(sum(chunk.tokens for chunk in part) < STRETCH + max(sizes) for part in parts)


@pytest.mark.parametrize(
    ("model", "count", "times", "lane", "ttl", "words"),
    [
        (HAIKU, 6, 4, "batch", "1h", "is read with each of its 6 chunks"),
        (HAIKU, 6, 4, "standard", "5m", "is read with each of its 6 chunks"),
        (HAIKU, 3, 40, "batch", None, "3 chunks are too few"),
        (HAIKU, 4, 1, "batch", None, "caches from 512"),
        (LUNA, 9, 9, "batch", None, "no cache that lasts for long enough"),
        (replace(LUNA, price_id=None, provider="vllm"), 9, 9, "standard", None, "free"),
    ],
)
def test_the_head_is_marked_where_that_pays(
    model: Model, count: int, times: int, lane: Lane, ttl: str | None, words: str
) -> None:
    prefix = wishes(document(count, times), maker(model, lane=lane))[0].request.prompt.prefix
    assert (prefix.ttl, prefix.marked) == (ttl, ttl is not None) and words in prefix.reason


class TestReading:
    def read(self, text: str, **more: Any) -> str:
        asked = wishes(document(2), maker())[0].asked
        return read_context(Completion(text, Usage(output=9), **{"stop": "end", "served_by": "m", **more}), asked)

    def test_a_context_is_one_line_of_bounded_length(self) -> None:
        assert self.read('{"context": " About\\n\\tthe \\u0007pump. "}') == "About the pump."
        assert len(self.read('{"context": "%s"}' % ("word " * 900))) == LONGEST

    @pytest.mark.parametrize(
        ("text", "stop", "words"),
        [
            ('{"context": " "}', "end", "nothing to say"),
            ('{"other": "x"}', "end", "breaks the schema"),
            ("[1]", "end", "breaks the schema"),
            ("not JSON", "end", "breaks the schema"),
            ('{"context": "x"}', "length", "more than 400 tokens"),
            ("no", "refusal", "refuses"),
        ],
    )
    def test_what_is_of_no_use_is_said(self, text: str, stop: str, words: str) -> None:
        with pytest.raises(InvalidAnswer, match=words):
            self.read(text, stop=stop)


class TestModel:
    def chosen(self, **sections: Any) -> Model:
        settings = load_settings(environment={}, overrides=sections)
        return context_model(settings, Catalogue.load(), AT)

    def test_the_small_tier_of_the_first_provider_with_a_key_writes_them(self) -> None:
        found = self.chosen(providers={"openai": {"api_key": "k"}}, ingest={"context": "batch"})
        assert (found.provider, found.id, found.effort) == ("openai", "gpt-6-luna", "none")

    def test_a_tier_or_a_name_of_its_own_comes_first(self) -> None:
        tiers = {"small": {"model": "gemini/gemini-3.8-flash"}}
        assert self.chosen(tiers=tiers).id == "gemini-3.8-flash"
        named = self.chosen(tiers=tiers, ingest={"context_model": "vllm/mine", "context": "live"})
        assert (named.id, named.price_id) == ("mine", None)

    @pytest.mark.parametrize(
        ("ingest", "kind", "words"),
        [
            ({"context": "batch"}, ConfigError, "needs a model"),
            ({"context": "batch", "context_model": "vllm/mine"}, ConfigError, "has no batch lane"),
            ({"context": "live", "context_model": "haiku"}, ConfigError, "names no model"),
            ({"context": "live", "context_model": "anthropic/unheard-of"}, UnpricedModel, "unheard-of"),
        ],
    )
    def test_who_cannot_is_refused(self, ingest: dict[str, str], kind: type[Exception], words: str) -> None:
        with pytest.raises(kind, match=words):
            self.chosen(ingest=ingest)


async def test_a_context_that_comes_retires_no_prefix() -> None:
    """Nobody is shown it, so what a provider has cached is still what would be sent."""

    class Documents:
        def __init__(self, *chunks: Chunk) -> None:
            self.held = chunks

        async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]:
            return self.held

    (chunk,) = document(1)
    assert await _same([chunk], Documents(replace(chunk, context="About pumps.")), "acme")
    assert not await _same([chunk], Documents(replace(chunk, text="other")), "acme")


def test_a_journal_of_an_earlier_version_learns_contexts(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as old:
        old.executescript(f"{TABLES} PRAGMA user_version = 1")
        old.execute("INSERT INTO prefix VALUES ('kept', '{}')")
    old.close()
    for _ in range(2):
        journal = Journal(tmp_path)
        journal.keep_contexts("acme", {"one": "About pumps.", "none": ""})
        assert journal.contexts("acme", ["one", "none", "other"]) == {"one": "About pumps.", "none": ""}
        assert journal.contexts("rival", ["one", "none"]) == {}
        journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as now:
        assert now.execute("SELECT digest FROM prefix").fetchall() == [("kept",)]
    now.close()
