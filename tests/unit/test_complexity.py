"""What a question looks like to the router, and files of routers."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest

from ragkit.errors import ConfigError
from ragkit.nouns import Turn
from ragkit.routing.complexity import COMPARE, COMPOSE, FLOORS, OF, POSSESSIVE, assess, features, marks, usual
from ragkit.routing.file import MAGIC, PACKAGED, load, packaged, save
from ragkit.routing.fit import Example, train
from ragkit.routing.form import LONGEST, OPTION
from ragkit.routing.signals import assess_in

EASY = "How long does the warranty of the pump last?"
HARD = "Who is the spouse of the director of the film that was shot in the birthplace of the inventor of the pump?"
ODD = [
    "",
    " ",
    "\n\n",
    "?",
    "\x00",
    "\ud800",
    "日本の首都はどこですか",
    "ليس",
    "🙂" * 3000,
    "A" * 100_000,
    "\nA. x\nB. y",
]


def test_a_question_that_asks_through_others_scores_higher_than_a_plain_one() -> None:
    assert assess(HARD, packaged()).score > assess(EASY, packaged()).score
    assert "through something else" in assess(HARD, packaged()).reason
    assert "plain" in assess(EASY, packaged()).reason


@pytest.mark.parametrize("question", ODD)
def test_any_text_has_a_score(question: str) -> None:
    assert -1 < assess(question, packaged()).score < 1
    assert all(0 < chance < 1 for chance in packaged().score(features(question)))


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert features("word " * 10_000) == features(("word " * 10_000)[:LONGEST])


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_scores_are_the_same_in_every_process(seed: str) -> None:
    code = "from ragkit.routing.complexity import assess; from ragkit.routing.file import packaged"
    code += f"; print(repr(assess({HARD!r}, packaged()).score))"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == repr(assess(HARD, packaged()).score)


def calls_of(question: str) -> list[object]:
    """The functions that assessing a question calls, Python's own and those of regular expressions among them.

    Whoever has asked to be told of a collection of garbage would be among them, too, if there was one.
    """
    called: list[object] = []

    def hear(frame: FrameType, event: str, called_now: object) -> None:
        if event in ("call", "c_call"):
            called.append(called_now if event == "c_call" else frame.f_code.co_name)

    packaged()
    gc.disable()
    sys.setprofile(hear)
    try:
        assess(question, packaged())
    finally:
        sys.setprofile(None)
        gc.enable()
    return called


def test_a_usual_question_takes_little_work_and_a_long_one_no_more_than_its_beginning() -> None:
    """A millisecond is some ten thousand calls."""
    assert len(calls_of(HARD)) < 1500
    longest = "Who owns it? " * LONGEST
    assert len(calls_of(longest)) < 1.05 * len(calls_of(longest[: 4 * LONGEST]))


@pytest.mark.parametrize("question", [EASY, HARD, f"{HARD}\nA. red\nB. blue"])
def test_what_stands_out_is_looked_for_once(question: str) -> None:
    owners = [getattr(call, "__self__", None) for call in calls_of(question)]
    runs = Counter(owner for owner in owners if isinstance(owner, re.Pattern))
    assert {runs[pattern] for pattern in (COMPARE, COMPOSE, POSSESSIVE, OF, OPTION)} == {1}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save(packaged(), tmp_path / "router.bin")
    again = load(tmp_path / "router.bin")
    assert again.score(features(HARD)) == packaged().score(features(HARD))
    assert (tmp_path / "router.bin").read_bytes() == PACKAGED.read_bytes()
    assert PACKAGED.stat().st_size <= 300_000


@pytest.mark.parametrize(
    "content", [b"", b"something", MAGIC, PACKAGED.read_bytes()[:-1], PACKAGED.read_bytes() + b"x"]
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "router.bin").write_bytes(content)
    with pytest.raises(ConfigError, match="route fit"):
        load(tmp_path / "router.bin")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.bin"):
        load(tmp_path / "none.bin")


def test_training_finds_what_the_strong_model_gains_on() -> None:
    easy = [Example(f"What is the colour of thing {n}?", 1, 1, "plain") for n in range(60)]
    hard = [Example(f"Prove that lemma {n} follows from the axiom", 1, 0, "proofs") for n in range(60)]
    scorer = train([*easy, *hard])
    assert assess("Prove that lemma 77 follows from this axiom", scorer).score > 0.4
    assert assess("What is the colour of the sky?", scorer).score < 0.3
    assert train([*easy, *hard]).score(features(HARD)) == scorer.score(features(HARD))


def test_what_training_has_seen_nothing_of_is_judged_by_marks_that_hold_everywhere() -> None:
    choices = "\nA. red\nB. blue\nAnswer:"
    easy = [Example(f"What is the colour of thing {n}?{choices}", 1, 1) for n in range(60)]
    hard = [Example(f"What is lemma {n}?{choices}", 1, 0) for n in range(60)]
    scorer = train([*easy, *hard])
    assert scorer.known == (0.0, 120 / 170)
    known, unknown = f"What is lemma 7?{choices}", "What is lemma 7?"
    assert assess(known, scorer).score > assess(f"What is the colour of thing 7?{choices}", scorer).score + 0.3
    assert assess(unknown, scorer).score == usual(marks(unknown))
    assert assess(unknown, scorer).score < assess(HARD, scorer).score


@pytest.mark.parametrize(
    ("simple", "complex_"),
    [
        ("How long is the warranty?", "How long is the warranty of the pump that the owner of the boat bought?"),
        ("Which pump is quiet?", "Which pump is better than the other?"),
        ("Who is the director?", "Who is the director's mother?"),
        ("When was it built?", "When was it built and what was it used for until the year in which it was torn down?"),
    ],
)
def test_no_mark_makes_a_question_simpler(simple: str, complex_: str) -> None:
    assert usual(marks(simple)) < usual(marks(complex_)) < FLOORS[1]


def test_a_long_question_keeps_its_choices() -> None:
    long = "A case of a court. " * 200
    found = features(f"{long}\nA. yes\nB. no\nAnswer:")
    assert found.choices
    assert not features(long).choices


@pytest.mark.parametrize("question", ["commit it", "And for the motor?", "why?", "What about the second one of them?"])
def test_a_follow_up_inherits(question: str) -> None:
    history = [Turn("user", HARD), Turn("assistant", "Somebody.")]
    found = assess_in(question, history, packaged())
    assert found.score >= assess(HARD, packaged()).score
    assert "follow-up" in found.reason
    again = assess_in("ok", [*history, Turn("user", question), Turn("assistant", "Yes.")], packaged())
    assert again.score >= assess(HARD, packaged()).score


def test_a_new_subject_does_not_inherit() -> None:
    history = [Turn("user", HARD), Turn("assistant", "Somebody.")]
    question = "How many litres does a standard tank of type 400 hold?"
    assert assess_in(question, history, packaged()) == assess(question, packaged())


def test_what_the_assistant_wrote_is_not_looked_at() -> None:
    long = [Turn("user", "hi"), Turn("assistant", HARD * 20)]
    short = [Turn("user", "hi"), Turn("assistant", "hello")]
    assert assess_in("ok", long, packaged()) == assess_in("ok", short, packaged())
