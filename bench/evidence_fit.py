"""Ranking, evidence and confidence models: how they are learned from cases."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from evidence_data import Case
from numpy.typing import NDArray

from ragkit.words.match import Candidate, match
from ragkit.words.ranking import Ranking
from ragkit.words.text import words
from ragkit.words.wordlist import weight

Vector = NDArray[np.float64]

FOLDS = 5
FREE_TEXT = ("api_docs_qa", "mtrag_un")
"""Sets whose answers were written freely: there a quote counts by the share of the answer's content words it has."""
EVIDENCE_SIGNALS = ("share", "cover", "most_density", "most_marked")
CONFIDENCE_SIGNALS = ("share", "score", "marked_near", "most_pairs")
EVIDENCE_MIX = {"nothing": 1.0, "passage": 0.5, "subject": 0.5}
CONFIDENCE_MIX = {"nothing": 1.0, "passage": 0.3, "subject": 0.1}
"""How much a question weighs by what was taken away: most questions that people ask have an answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """A case with its candidates, their features, and which of them answer."""

    case: Case
    candidates: tuple[Candidate, ...]
    features: Vector
    right: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a held-out ranking made of a case."""

    case: Case
    signals: dict[str, float]
    right: bool
    evidence: float = 0.0
    confidence: float = 0.0


def row(case: Case) -> Row | None:
    candidates = match(case.question, tuple(hit.chunk for hit in case.hits))
    if not candidates:
        return None
    features = np.array([candidate.features for candidate in candidates])
    return Row(case, candidates, features, _right(case, [candidate.text for candidate in candidates]))


def _right(case: Case, texts: Sequence[str]) -> NDArray[np.bool_]:
    if not case.answerable:
        return np.zeros(len(texts), dtype=bool)
    recalls = np.array([recall(case, text) for text in texts])
    return recalls >= (max(0.35, 0.9 * recalls.max()) if case.group in FREE_TEXT else 0.6)


def recall(case: Case, text: str) -> float:
    """1 for a text that contains an answer, else the best share of an answer's content words that it has."""
    plain, content = _plain(text), _content(text)
    best = 0.0
    for answer in case.answers:
        wanted = _content(answer)
        if case.group not in FREE_TEXT and _contains(plain, _plain(answer)):
            return 1.0
        if len(wanted) >= 4:
            best = max(best, len(wanted & content) / len(wanted))
    return best


def _contains(plain: str, answer: str) -> bool:
    """Short answers as whole words; long ones were often marked without their last letters."""
    return bool(answer) and (answer in plain if len(answer) > 12 else f" {answer} " in f" {plain} ")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _content(text: str) -> set[str]:
    return {word for word in words(text) if weight(word) > 0}


def _fold(row: Row | Outcome) -> int:
    return int(hashlib.sha256(row.case.split.encode()).hexdigest(), 16) % FOLDS


def held_out(rows: Sequence[Row]) -> list[Outcome]:
    """Each case by a ranking, an evidence model and a confidence model that did not see its fold."""
    rankings = [fit_ranking([one for one in rows if _fold(one) != fold]) for fold in range(FOLDS)]
    outcomes = [_outcome(one, rankings[_fold(one)]) for one in rows]
    judged = []
    for fold in range(FOLDS):
        seen = [outcome for outcome in outcomes if _fold(outcome) != fold]
        evidence, confidence = fit_evidence(seen), fit_confidence(seen)
        judged += [
            Outcome(one.case, one.signals, one.right, evidence(one.signals), confidence(one.signals))
            for one in outcomes
            if _fold(one) == fold
        ]
    return judged


def _outcome(row: Row, weights: Vector) -> Outcome:
    ranking = _ranking(row, weights)
    quoted = " ".join(candidate.text for candidate in ranking.candidates[: ranking.taken])
    needed = 0.5 if row.case.group in FREE_TEXT else 0.8
    held = row.case.answerable or any(_contains(_plain(quoted), _plain(a)) for a in row.case.answers if len(a) > 12)
    return Outcome(row.case, ranking.signals(), held and recall(row.case, quoted) >= needed)


def _ranking(row: Row, weights: Vector) -> Ranking:
    scores = row.features @ weights
    order = np.argsort(-scores, kind="stable")
    powers = np.exp(scores[order] - scores[order[0]])
    chances = powers / powers.sum()
    return Ranking(
        tuple(row.candidates[place] for place in order), tuple(map(float, scores[order])), tuple(map(float, chances))
    )


def fit_ranking(rows: Sequence[Row]) -> Vector:
    """Weights by which units that answer stand first: a softmax over the units of each question."""
    rows = [row for row in rows if row.case.removed == "nothing" and row.right.any()]
    sizes = [len(row.features) for row in rows]
    starts, owner = np.cumsum([0, *sizes[:-1]]), np.repeat(np.arange(len(rows)), sizes)
    counts = Counter(row.case.group for row in rows)
    importance = np.array([min(1.0, 300 / counts[row.case.group]) for row in rows])
    right = np.concatenate([row.right for row in rows])
    matrix = np.concatenate([row.features for row in rows])
    scale = matrix.std(0) + 1e-6
    scaled = matrix / scale

    def gradient(weights: Vector) -> Vector:
        scores = scaled @ weights
        powers = np.exp(scores - np.maximum.reduceat(scores, starts)[owner])
        chances = powers / np.add.reduceat(powers, starts)[owner]
        wanted = np.where(right, chances, 0)
        wanted /= np.maximum(np.add.reduceat(wanted, starts), 1e-12)[owner]
        slope: Vector = scaled.T @ ((chances - wanted) * importance[owner]) / importance.sum() + 1e-3 * weights
        return slope

    fitted: Vector = _descend(gradient, matrix.shape[1], steps=400) / scale
    return fitted


def fit_evidence(outcomes: Sequence[Outcome]) -> Logistic:
    """The chance that the hits hold the answer."""
    return Logistic(outcomes, EVIDENCE_SIGNALS, EVIDENCE_MIX, lambda outcome: outcome.case.answerable)


def fit_confidence(outcomes: Sequence[Outcome]) -> Logistic:
    """The chance that the quotes contain the answer; free-text answers are too vague to learn that from."""
    marked = [outcome for outcome in outcomes if outcome.case.group not in FREE_TEXT]
    return Logistic(marked, CONFIDENCE_SIGNALS, CONFIDENCE_MIX, lambda outcome: outcome.right)


class Logistic:
    """A logistic regression over named signals, sets weighted so that no large one drowns the others."""

    def __init__(
        self, outcomes: Sequence[Outcome], names: Sequence[str], mix: dict[str, float], truth: Callable[[Outcome], bool]
    ) -> None:
        counts = Counter(outcome.case.group for outcome in outcomes if outcome.case.removed == "nothing")
        importance = np.array([mix[one.case.removed] * min(1.0, 300 / counts[one.case.group]) for one in outcomes])
        matrix = np.array([[one.signals[name] for name in names] for one in outcomes])
        labels = np.array([float(truth(one)) for one in outcomes])
        middle, scale = matrix.mean(0), matrix.std(0) + 1e-6
        scaled = np.c_[(matrix - middle) / scale, np.ones(len(matrix))]

        def gradient(weights: Vector) -> Vector:
            miss = (1 / (1 + np.exp(-scaled @ weights)) - labels) * importance
            slope: Vector = scaled.T @ miss / importance.sum() + 3e-3 * np.r_[weights[:-1], 0]
            return slope

        fitted = _descend(gradient, len(names) + 1, steps=600)
        self.weights = dict(zip(names, (fitted[:-1] / scale).tolist(), strict=True))
        self.bias = float(fitted[-1] - (fitted[:-1] * middle / scale).sum())

    def __call__(self, signals: dict[str, float]) -> float:
        total = self.bias + sum(value * signals[name] for name, value in self.weights.items())
        return float(1 / (1 + np.exp(-total)))


def _descend(gradient: Callable[[Vector], Vector], size: int, *, steps: int) -> Vector:
    """Adam, from zero."""
    weights, first, second = np.zeros(size), np.zeros(size), np.zeros(size)
    for step in range(1, steps + 1):
        slope = gradient(weights)
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        weights = weights - 0.05 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return weights
