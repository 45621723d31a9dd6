"""Whatever a model answers: every citation is the source's own characters at its own place."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from ragkit.citation import Rules, verify
from ragkit.nouns import Chunk
from ragkit.quote import find_quote
from ragkit.structured import AnswerDraft, Parsed, Quote, Statement

ALPHABET = st.sampled_from(
    list("abcAB12 .,-'\"\n\t") + list("\u2019\u201c\u201d\u2013\u00a0\u00ad\u2026\ufb01\u00e9e\u0301\u4e2d\u6587[]")
)
texts = st.text(ALPHABET, min_size=1, max_size=60)


@st.composite
def quoted(draw: st.DrawFn) -> tuple[str, str]:
    """A text and a passage of it, by whole words."""
    pieces = draw(
        st.lists(st.text("abcdAB12\u00e9\ufb01\u2019\u2013\u201c", min_size=2, max_size=6), min_size=1, max_size=9)
    )
    text = draw(st.sampled_from([" ", "\n", "  \n", "\u00a0"])).join(pieces)
    start = draw(st.integers(0, len(pieces) - 1))
    end = draw(st.integers(start + 1, len(pieces)))
    return text, " ".join(pieces[start:end])


RETYPED = str.maketrans({"\u2019": "'", "\u2013": "-", "\u201c": '"', "\ufb01": "fi"})


@given(quoted())
@example(("11 11 11 11 11 11 11 A1 a1", "a1"))
def test_a_retyped_passage_is_found_again(case: tuple[str, str]) -> None:
    text, quote = case
    assume(sum(character.isalnum() for character in quote) >= 2)
    variants = [quote, quote.translate(RETYPED), f'"{quote}"']
    swapped = quote[0].swapcase() + quote[1:]
    # What stands elsewhere to the letter is rightly found there.
    variants += [swapped] if quote[0].isascii() and swapped not in text else []
    for variant in variants:
        [(start, end)] = find_quote(variant, text)
        assert _letters(text[start:end]) == _letters(quote)


def _letters(text: str) -> list[str]:
    """What must agree: quotation marks at the ends are the reader's own affair."""
    return text.translate(RETYPED).strip("\"'").split()


@given(texts, texts)
def test_what_is_found_lies_in_the_text_in_order(quote: str, text: str) -> None:
    end = 0
    for start, stop in find_quote(quote, text):
        assert end <= start < stop <= len(text)
        assert text[start:stop] == text[start:stop].strip()
        end = stop


@given(texts, texts)
def test_every_word_of_a_found_quote_is_in_the_passage(quote: str, text: str) -> None:
    """No tolerance changes a letter: what is plain in the quote is plain in what is cited."""
    cited = " ".join(text[start:stop] for start, stop in find_quote(quote, text)).casefold()
    if cited:
        for word in "".join(c if c in "abcAB12" else " " for c in quote).casefold().split():
            assert word in cited.replace("\u00ad", "").replace("\ufb01", "fi")


drafts = st.builds(
    AnswerDraft,
    abstained=st.booleans(),
    reason=texts,
    statements=st.lists(
        st.builds(
            Statement,
            text=texts,
            quotes=st.lists(
                st.builds(Quote, chunk_id=st.sampled_from(["1", "2", "3", "", "x"]), quote=texts), max_size=3
            ).map(tuple),
        ),
        max_size=4,
    ).map(tuple),
)
documents = st.lists(texts, min_size=1, max_size=3)


@given(drafts, documents, st.sampled_from(["drop", "mark"]))
def test_citations_are_verbatim_and_numbered(draft: AnswerDraft, sources: list[str], policy: str) -> None:
    document = "".join(sources)
    starts = [sum(map(len, sources[:place])) for place in range(len(sources))]
    chunks = [
        Chunk(f"c{place}", "d", "d.md", text, start, start + len(text), place, 3)
        for place, (text, start) in enumerate(zip(sources, starts, strict=True))
    ]
    verified = verify(Parsed(draft), chunks, Rules(unsupported=policy))  # type: ignore[arg-type]
    assert len(set(verified.citations)) == len(verified.citations)
    for number, citation in enumerate(verified.citations, start=1):
        assert document[citation.start : citation.end] == citation.quote
        assert citation.quote.strip() == citation.quote != ""
        assert f"[{number}]" in verified.text
    assert verified.abstained == (not verified.citations)
    assert bool(verified.reason) == verified.abstained
