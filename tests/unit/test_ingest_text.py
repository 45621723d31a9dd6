# ruff: noqa: E501, RUF001  the look-alikes are what is tested
from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest

from ragkit_ingest.chunk import Sizes, chunk
from ragkit_ingest.document import Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse import parse
from ragkit_ingest.text import clean, decode

GERMAN = "Die schöne Frau hat einen Kaffee mit Kuchen gegessen. Der Preis betrug 15,50 €. Größe und Länge sind „gut“. "
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью. "
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられている。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN.replace("ё", "е") + GERMAN * 4])
def test_unicode_is_read_with_and_without_a_mark(encoding: str, text: str) -> None:
    if encoding == "utf-16-le":
        text = GERMAN  # western text shows by its zero bytes
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN * 3, "cp1252"),
        (RUSSIAN * 3, "cp1251"),
        (RUSSIAN * 3, "koi8_r"),
        (JAPANESE * 3, "shift_jis"),
        (JAPANESE * 3, "euc_jp"),
    ],
)
def test_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declaration_decides_where_bytes_do_not() -> None:
    assert decode("Łódź".encode("cp1250"), "windows-1250") == "Łódź"
    assert decode("naïve".encode(), "iso-8859-1") == "naïve", "valid UTF-8 beats a declaration"
    assert decode("15 €".encode("cp1252"), "latin-1") == "15 €", "what the web calls Latin-1 is Windows-1252"


def test_a_character_cut_off_at_the_end_is_dropped() -> None:
    assert decode("für Zoë".encode()[:-1]) == "für Zo"


@pytest.mark.parametrize("data", [b"\x00\x01\x02\x03" * 100, b"text\x00text", b"\xff\xfe\x00"])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        clean(decode(data))


def test_control_characters_in_numbers_mean_binary() -> None:
    with pytest.raises(Unreadable, match="binary"):
        clean("\x01\x02\x03\x04\x05" * 20 + "text")
    assert clean("one form\x0cfeed and a bell\x07").text == "one form\x0cfeed and a bell"


@pytest.mark.parametrize(
    ("text", "visible", "hidden"),
    [
        ("zero\u200bwidth", "zerowidth", 1),
        ("ig\u200dnore", "ignore", 1),
        ("tag\U000e0041\U000e0042s", "tags", 2),
        ("bi\u202edi\u2066", "bidi", 2),
        ("soft\u00adhyphen", "softhyphen", 1),
        ("family 👨\u200d👩\u200d👧", "family 👨\u200d👩\u200d👧", 0),
        ("می\u200cخواهم", "می\u200cخواهم", 0),
        ("heart ❤\ufe0f", "heart ❤\ufe0f", 0),
        ("smuggled ❤\ufe0f\ufe01\ufe02", "smuggled ❤\ufe0f", 2),
        ("joined 👨\u200d\u200d\u200d👩", "joined 👨\u200d👩", 2),
    ],
)
def test_hidden_characters_go_and_are_counted(text: str, visible: str, hidden: int) -> None:
    assert clean(text) == (visible, hidden)


@pytest.mark.parametrize(
    ("saved", "meant"),
    [
        ("marked \u00e2\x80\x9cA.\u00e2\x80\x9d on Bob\u00e2\x80\x99s form. " * 20, "marked “A.” on Bob’s form. " * 20),
        ("price \u00e2\x82\u00ac5, \u00f0\x9f\x98\x80, \u00c3\x89t\u00c3\u00a9", "price €5, 😀, Ét\u00c3\u00a9"),
        ("it\x92s \x93quoted\x94 \x96 and \x81 nothing" * 9, "it’s “quoted” – and  nothing" * 9),
        ("zero\u00e2\x80\x8bwidth", "zerowidth"),
        ("Ã and É \x80 stay", "Ã and É € stay"),
    ],
)
def test_what_was_taken_for_latin_1_is_read_again(saved: str, meant: str) -> None:
    assert clean(saved).text == meant


def test_random_bytes_are_still_no_text() -> None:
    chance = random.Random(0)
    for _ in range(20):
        with pytest.raises(Unreadable):
            clean(decode(chance.randbytes(3_000).replace(b"\x00", b"")))


def test_newlines_become_one_kind() -> None:
    assert clean("a\r\nb\rc\u2028d\u0085e").text == "a\nb\nc\nd\ne"


def test_embedded_files_are_cut_out() -> None:
    assert (
        clean("![logo](data:image/png;base64," + "iVBORw0K" * 50 + ") text").text
        == "![logo](data:image/png;base64,) text"
    )


def test_base64_is_not_text() -> None:
    with pytest.raises(Unreadable, match="base64"):
        clean("8uPr5e8gVGVzbGEgLSDw4/j5+iDn+unu5CDy7CDk4ff55CDs+On55e0g\n")
    assert clean("Donaudampfschifffahrtsgesellschaftskapitänsmützenfabrik").text


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        "." * 50_000,
        "`" * 50_000,
        "[" * 50_000,
        "#\n" * 50_000,
        "> " * 50_000,
        "```\n~~~\n" * 10_000,
        "::" * 50_000,
        "\n \n" * 25_000 + "x",
        "| " * 50_000,
        "- " * 50_000,
        "Aa1" * 25_000,
    ],
)
@pytest.mark.parametrize("kind", ["markdown", "restructured", "asciidoc", "text", "rtf", "html"])
def test_no_text_takes_long(kind: str, text: str) -> None:
    """Patterns that backtrack would take hours for these; a second is far more than a linear pass needs."""
    began = time.process_time()
    with suppress(Unreadable):
        chunk(parse(kind, text.encode(), Limits()), Sizes())
    assert time.process_time() - began < 5
