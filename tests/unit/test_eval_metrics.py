"""Scores by hand-counted examples, and the bootstrap that compares them."""

import math
import random

import pytest

from ragkit_eval import metrics
from ragkit_eval.bootstrap import compare, interval
from ragkit_eval.cases import Case, Dataset, SourceDocument
from ragkit_eval.reply import Passage, Reply
from ragkit_eval.scoring import Scorer


def test_a_document_counts_where_its_best_chunk_stands() -> None:
    ranking = ["b", "b", "a", "c", "d"]
    assert metrics.recall_at(ranking, {"a", "z"}, 2) == 0.5
    assert metrics.recall_at(ranking, {"a", "b"}, 2) == 1.0
    assert metrics.reciprocal_rank(ranking, {"a"}) == 0.5
    assert metrics.reciprocal_rank(ranking, {"z"}) == 0.0


def test_ndcg_is_one_for_the_best_order_and_falls_with_the_place() -> None:
    assert metrics.ndcg_at(["a", "b", "c"], {"a", "b"}, 10) == 1.0
    found = metrics.ndcg_at(["c", "a"], {"a"}, 10)
    assert found is not None
    assert math.isclose(found, 1 / math.log2(3))


def test_without_relevant_documents_nothing_is_scored() -> None:
    assert metrics.recall_at(["a"], (), 4) is None
    assert metrics.ndcg_at(["a"], (), 10) is None
    assert metrics.reciprocal_rank(["a"], ()) is None
    assert metrics.precision([], {"a"}) is None
    assert metrics.answer_in(["text"], ()) is None
    assert metrics.token_f1("text", ()) is None


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("It lasts for the Five Years, no more.", "five years", 1.0),
        ("It lasts for fifty-five years.", "five yearss", 0.0),
        ("In 1935 it was built", "35", 0.0),
        ("The result: 35.", "35", 1.0),
    ],
)
def test_a_short_answer_has_to_stand_there_in_whole_words(text: str, answer: str, found: float) -> None:
    assert metrics.answer_in([text], [answer]) == found


def test_a_long_answer_may_lack_some_of_its_words() -> None:
    answer = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    assert metrics.answer_in([" ".join(answer.split()[:10])], [answer]) == 1.0
    assert metrics.answer_in([" ".join(answer.split()[:6])], [answer]) == 0.0


def test_words_are_compared_without_articles_case_and_marks() -> None:
    assert metrics.exact_match("The  Cat.", ["a cat"]) == 1.0
    assert metrics.token_f1("the black cat", ["cat"]) == pytest.approx(2 / 3)
    assert metrics.token_f1("dog", ["cat", "hot dog"]) == pytest.approx(2 / 3)


def test_the_interval_of_a_difference_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(3)
    covered = 0
    for seed in range(100):
        first = [rng.random() for _ in range(60)]
        second = [value + rng.gauss(0.1, 0.3) for value in first]
        found = compare(first, second, seed=seed, draws=400)
        covered += found.low <= 0.1 <= found.high
    assert 88 <= covered <= 99


def test_equal_set_ups_do_not_differ() -> None:
    found = compare([0.0, 1.0, 1.0], [0.0, 1.0, 1.0])
    assert (found.mean, found.low, found.high, found.certain) == (0.0, 0.0, 0.0, False)
    assert interval([]) == (0.0, 0.0)


def reply(**changes: object) -> Reply:
    usual = {
        "text": "It lasts five years.",
        "context": (Passage("manual", "The warranty lasts five years.", 6), Passage("other", "Noise.", 2)),
        "ranking": ("manual", "other"),
        "cost_pico": 10,
        "seconds": 0.1,
        "cited": ("manual",),
    }
    return Reply(**{**usual, **changes})  # type: ignore[arg-type]


CASE = Case("1", "How long?", ("manual",), ("five years",), True)
DATA = Dataset("d", (CASE,), (SourceDocument("manual", "", "The warranty lasts five years."),))


def test_an_answer_is_scored_from_retrieval_to_citation() -> None:
    scores = Scorer.of(DATA).score(CASE, reply())
    assert scores["in_context"] == scores["contains"] == scores["citation_precision"] == scores["answers"] == 1.0
    assert scores["context_precision"] == 0.5
    assert scores["context_tokens"] == 8
    assert "abstains" not in scores


def test_the_answer_in_the_wrong_document_does_not_count() -> None:
    stray = (Passage("other", "It took five years to build.", 6),)
    assert Scorer.of(DATA).score(CASE, reply(context=stray))["in_context"] == 0.0


def test_an_answer_in_words_of_its_own_needs_a_chunk_of_a_relevant_document() -> None:
    case = Case("2", "How long?", ("manual",), ("half a decade",), True)
    scorer = Scorer.of(Dataset("d", (case,), DATA.documents))
    assert scorer.score(case, reply())["in_context"] == 1.0
    assert scorer.score(case, reply(context=()))["in_context"] == 0.0


def test_abstaining_is_right_where_nothing_answers_and_wrong_elsewhere() -> None:
    nothing = Case("3", "Why?", (), (), False)
    scorer = Scorer.of(DATA)
    assert scorer.score(nothing, reply(abstained=True))["abstains"] == 1.0
    assert scorer.score(nothing, reply())["abstains"] == 0.0
    told = scorer.score(CASE, reply(abstained=True))
    assert (told["answers"], told["contains"], "citation_precision" in told) == (0.0, 0.0, False)
