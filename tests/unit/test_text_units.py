"""Text as quotable units and comparable words."""

from __future__ import annotations

import time

import pytest

from ragkit.nouns import Chunk
from ragkit.words.match import match
from ragkit.words.question import ask
from ragkit.words.text import units, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        (
            "Dr. Smith et al. went to the U.S. in 1999. He left.",
            ["Dr. Smith et al. went to the U.S. in 1999.", "He left."],
        ),
        (
            "It costs 3.50 dollars, e.g. at No. 5 on Jan. 5. Done.",
            ["It costs 3.50 dollars, e.g. at No. 5 on Jan. 5.", "Done."],
        ),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("A line\nthat goes on.\n\nAnother", ["A line\nthat goes on.", "Another"]),
        ("# Head\nText.\n---\nMore.", ["# Head", "Text.", "More."]),
        ("- one\n  more\n- two\n1. three", ["- one\n  more", "- two", "1. three"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ["| a | b |", "| 1 | 2 |"]),
        ("```py\nx = 1\n\ny = 2\n```\nAfter.", ["x = 1\n\ny = 2", "After."]),
        ("~~~\n```\nx\n~~~", ["```\nx"]),
        ("```\nnever closed", ["never closed"]),
        ("\u8377\u5170\u3002\u662f\u7684\uff01\u597d", ["\u8377\u5170\u3002", "\u662f\u7684\uff01", "\u597d"]),
        ("", []),
        (" \n\t\n", []),
    ],
)
def test_units(text: str, expected: list[str]) -> None:
    assert [text[unit.start : unit.end] for unit in units(text)] == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("founded", "founding"), ("cities", "city"), ("running", "runs"), ("databases", "database"),
        ("establishment", "established"), ("Stra\u00dfe", "STRASSE"),
        ("\u0433\u043e\u0440\u043e\u0434\u0430\u043c\u0438", "\u0433\u043e\u0440\u043e\u0434\u0430\u0445"),
    ],
)  # fmt: skip
def test_inflections_compare_alike(one: str, other: str) -> None:
    assert words(one) == words(other)


def test_words_split_identifiers_and_pair_characters() -> None:
    assert words("minimum_evidence --top-k 401") == ["minimu", "eviden", "top", "k", "401"]
    assert words("\u8377\u5170\u4e09") == ["\u8377\u5170", "\u5170\u4e09"]


def test_long_numbers_are_compared_whole() -> None:
    assert words("1234567") != words("1234568")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who wrote it?", "who"), ("In what year did it end?", "when"), ("How many people live there?", "number"),
        ("Where is it?", "where"), ("Why did it fail?", "why"), ("How do I install it?", "how"),
        ("What is a receipt?", "definition"), ("What are the limits?", "list"), ("Is it open?", "polar"),
        ("Receipts", "other"), ("\u4ec0\u4e48\u65f6\u5019", "other"),
    ],
)  # fmt: skip
def test_kinds_of_questions(question: str, kind: str) -> None:
    assert ask(question).kind == kind


def test_names_and_numbers_are_marked() -> None:
    assert ask("When did Anna Kovac open bridge 42?").marked == {"anna", "kovac", "42"}


@pytest.mark.parametrize(
    "piece", ["1", "1,", "1.1-", "a.", "|", "\t", "`", "A. ", " ", "#", "a\n", "in ", "what a-", "how "]
)
def test_hostile_repetition_takes_no_time(piece: str) -> None:
    text = piece * 5_000
    chunk = Chunk("c", "c", "c.md", f"{text} metres\n\n{text}", 0, 10, 0, 10)
    began = time.process_time()
    for question in ("How long is it?", "When was it?", "Where is A?", "Why?", "How do I?", text):
        match(question, [chunk])
    assert time.process_time() - began < 2
