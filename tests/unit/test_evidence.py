"""Weak evidence is noticed before anything is paid, and the reason says what is missing."""

from __future__ import annotations

import pytest

from ragkit.evidence import MINIMUM_EVIDENCE, judge
from ragkit.nouns import Chunk, Hit


def hit(text: str, *, name: str = "c", score: float = 0.5, title: str = "") -> Hit:
    return Hit(Chunk(name, name, f"{name}.md", text, 0, len(text), 0, 10, title=title), score)


RECEIPT = hit(
    "A receipt lists every event of an answer. Budgets reserve the worst plausible cost before a call. "
    "The ledger keeps receipts for ninety days."
)
CACHE = hit("The prefix cache is written once and read many times. Its entries live for five minutes.", name="d")


@pytest.mark.parametrize(
    "question",
    [
        "How long does the ledger keep receipts?",
        "What does a receipt list?",
        "How long do entries of the prefix cache live?",
    ],
)
def test_what_the_hits_answer_passes(question: str) -> None:
    assert judge(question, [RECEIPT, CACHE]).probability >= MINIMUM_EVIDENCE


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("Who won the football world cup in 1998?", "cup"),
        ("Which vaccines does the hospital in Oslo offer?", "vaccines"),
        ("What is the melting point of tungsten?", "tungsten"),
    ],
)
def test_what_the_hits_do_not_answer_does_not_pass(question: str, missing: str) -> None:
    evidence = judge(question, [RECEIPT, CACHE])
    assert evidence.probability < MINIMUM_EVIDENCE
    assert missing in evidence.reason


def test_nothing_found_is_no_evidence() -> None:
    assert (judge("Who?", []).probability, judge("Who?", []).reason) == (0.0, "no passage was found")
    assert judge("Who?", [hit(" ")]).probability == 0.0


def test_the_scale_of_the_rerankers_scores_does_not_matter() -> None:
    low, high = (judge("What does a receipt list?", [hit(RECEIPT.chunk.text, score=score)]) for score in (1e-9, 40.0))
    assert low == high


def test_a_title_counts_for_its_chunk() -> None:
    text = "It was opened in 1931."
    with_title = judge("When was the Silver Bridge opened?", [hit(text, title="Silver Bridge")])
    assert with_title.probability > judge("When was the Silver Bridge opened?", [hit(text)]).probability


def test_another_name_is_weaker_evidence() -> None:
    text = "Berlin has 3.7 million inhabitants."
    assert (
        judge("How many inhabitants has Berlin?", [hit(text)]).probability
        > judge("How many inhabitants has Vienna?", [hit(text)]).probability
    )
