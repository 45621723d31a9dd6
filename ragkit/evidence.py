"""Whether the selected chunks can answer the question at all: weak evidence abstains before anything is paid.

The chance is calibrated by `bench/train_evidence.py` on questions with an answer, on questions that people marked as
unanswerable, and on questions whose answer was taken away. It rests on the words of question and chunks only, so that
it means the same behind every reranker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragkit.nouns import Hit
from ragkit.words.question import ask
from ragkit.words.ranking import Ranking, logistic, rank
from ragkit.words.text import words

WEIGHTS = {"share": 5.258, "cover": 1.083, "most_density": 2.075, "most_marked": 1.527}
BIAS = -7.273

MINIMUM_EVIDENCE = 0.2
"""Below this chance the answer abstains, unless the settings say otherwise; docs/answers.md tells what that costs."""

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """The calibrated chance that the hits contain the answer, and what it rests on."""

    probability: float
    reason: str

    def weak(self, minimum: float | None) -> bool:
        """Whether it is less than what somebody asked for, or than what is asked for otherwise."""
        return self.probability < (MINIMUM_EVIDENCE if minimum is None else minimum)


def judge(question: str, hits: Sequence[Hit]) -> Evidence:
    """How likely the hits, best first, answer the question."""
    ranking = rank(question, tuple(hit.chunk for hit in hits))
    if not ranking.candidates:
        return Evidence(0.0, "no passage was found" if not hits else "the passages found have no text")
    signals = ranking.signals()
    missing = _missing(question, ranking)
    if missing:
        reason = f"no passage found mentions {' or '.join(missing[:MOST_NAMED])}"
    else:
        reason = f"the best sentence found has {signals['cover']:.0%} of what the question mentions"
    return Evidence(logistic(signals, WEIGHTS, BIAS), reason)


def _missing(question: str, ranking: Ranking) -> list[str]:
    """The question's words that no passage has, as they were written, the most telling first."""
    asked = ask(question)
    headings = {" ".join((one.chunk.title, *one.chunk.section, one.chunk.context)) for one in ranking.candidates}
    texts = [frozenset(words(heading)) for heading in headings] + [one.words.all for one in ranking.candidates]
    missing = [stem for stem in asked.weights if not any(stem in text for text in texts)]
    return [asked.spelled[stem] for stem in sorted(missing, key=lambda stem: -asked.weights[stem])]
