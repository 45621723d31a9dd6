from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.tokens import estimate_tokens
from ragkit_ingest.chunk import Sizes, chunk, chunk_at
from ragkit_ingest.document import Block, Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.llama import cuts as llama_cuts
from ragkit_ingest.parse import parse

SMALL = Sizes(target=32, maximum=64)
MARKS = (
    "# A\n",
    "## B c\n",
    "Title\n=====\n",
    "```py\ncode = 1\n\n",
    "```\n",
    "~~~\n",
    "- item\n",
    "1. one\n",
    "| a | b |\n|---|---|\n",
)
MORE = (
    "\n",
    "\n\n",
    "   ",
    "\t",
    "word " * 20,
    "Sentence one. Sentence two! ",
    "x" * 300,
    "日本語。" * 30,
    ".. code::\n\n  x = 1\n",
    "::\n\n  y\n",
    "🙂" * 40,
)
TEXTS = st.lists(st.one_of(st.sampled_from(MARKS + MORE), st.text(max_size=40)), max_size=30).map("".join)


def check(parsed: Parsed, sizes: Sizes) -> None:
    """Spans are in order, visible, within their size, and leave nothing out that can be seen."""
    position = 0
    for span in chunk(parsed, sizes):
        assert position <= span.start < span.end <= len(parsed.text)
        assert not parsed.text[position : span.start].strip()
        piece = parsed.text[span.start : span.end]
        assert piece.strip()
        assert span.tokens == estimate_tokens(piece) <= sizes.maximum
        position = span.end
    assert not parsed.text[position:].strip()


@pytest.mark.parametrize("kind", ["markdown", "restructured", "text", "asciidoc", "table"])
@given(text=TEXTS)
def test_spans_rebuild_the_document(kind: str, text: str) -> None:
    try:
        parsed = parse(kind, text.encode(errors="replace"), Limits())
    except Exception as error:
        assert type(error).__name__ == "Unreadable"
        return
    starts = [block.start for block in parsed.blocks]
    assert starts == sorted(starts)
    check(parsed, SMALL)


@given(
    text=TEXTS,
    cuts=st.lists(st.integers(0, 400), max_size=20),
    kind=st.sampled_from(["text", "list", "table", "code", "heading"]),
)
def test_spans_rebuild_a_text_with_any_blocks(text: str, cuts: list[int], kind: str) -> None:
    starts = sorted({min(cut, len(text)) for cut in cuts})
    check(Parsed(text, tuple(Block(start, kind, 1, "t") for start in starts)), SMALL)  # type: ignore[arg-type]


@given(text=TEXTS)
def test_chunking_is_a_pure_function(text: str) -> None:
    parsed = Parsed(text, (Block(0),))
    assert chunk(parsed, SMALL) == chunk(parsed, SMALL)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 400), max_size=20))
def test_chunks_at_given_places_rebuild_the_document(text: str, cuts: list[int]) -> None:
    position = 0
    for span in chunk_at(Parsed(text, ()), cuts, SMALL):
        assert not text[position : span.start].strip()
        assert span.tokens <= SMALL.maximum
        position = span.end
    assert not text[position:].strip()


def test_the_splitter_of_llama_index_gives_spans_of_the_text() -> None:
    text = "# Guide\n\n" + "A sentence of the guide. " * 40 + "\n\n## Part\n\n" + "Another sentence of it. " * 40
    parsed = parse("markdown", text.encode(), Limits())
    spans = chunk_at(parsed, llama_cuts(text, SMALL), SMALL)
    assert len(spans) > 5
    assert spans[0].section == ("Guide",)
    assert spans[-1].section == ("Guide", "Part")
    joined = "".join(text[span.start : span.end] for span in spans)
    assert "".join(joined.split()) == "".join(text.split())
