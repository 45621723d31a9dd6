"""Learns and measures the numbers in `words/ranking.py`, `evidence.py` and `providers/extractive.py` of `ragkit`.

    python bench/train_evidence.py --data DATA            measures, every number on questions that were held out
    python bench/train_evidence.py --data DATA --fit      prints the coefficients too, learned from everything

Folds never share an article, paper or conversation. Chances are logistic; the extractive confidence is then the share
of right answers among all that were at least as sure.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from evidence_data import load_cases
from evidence_fit import (
    Outcome,
    Row,
    fit_confidence,
    fit_evidence,
    fit_ranking,
    held_out,
    row,
)

from ragkit.evidence import MINIMUM_EVIDENCE
from ragkit.words.match import FEATURES

WANTED = 0.95
"""The precision from which on a router may use the answer that costs nothing."""

FEWEST = 40.0
"""Weighed answers in the smallest group whose precision is believed."""

CURVE_MIX = {"nothing": 1.0, "passage": 0.1, "subject": 0.05}
"""Some of the questions that people ask have no answer in the documents, beside those whose answer was not found."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", action="store_true", help="print coefficients for the package")
    options = parser.parse_args()
    rows = [found for case in load_cases(options.data) if (found := row(case)) is not None]
    outcomes = held_out(rows)
    if options.fit:
        print_fit(rows, outcomes)
    report_ranking(outcomes)
    report_evidence(outcomes)
    report_confidence(outcomes)


def print_fit(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    """Coefficients for the package; the curve comes from held-out questions only."""
    ranking = fit_ranking(rows)
    evidence, confidence = fit_evidence(outcomes), fit_confidence(outcomes)
    print("ranking", {name: round(float(value), 2) for name, value in zip(FEATURES, ranking, strict=True)})
    for name, model in (("evidence", evidence), ("confidence", confidence)):
        print(name, {key: round(value, 3) for key, value in model.weights.items()}, round(model.bias, 3))
    print("precision curve", [(round(chance, 3), round(precision, 3)) for chance, precision in curve(outcomes)])


def curve(outcomes: Sequence[Outcome]) -> list[tuple[float, float]]:
    """For each chance, the share of right answers among the extractions that were at least as sure."""
    answered = [one for one in outcomes if one.evidence >= MINIMUM_EVIDENCE]
    answered.sort(key=lambda one: -one.confidence)
    importance = np.array([CURVE_MIX[one.case.removed] for one in answered])
    total = importance.cumsum()
    precision = (importance * [one.right for one in answered]).cumsum() / total
    rising = np.maximum.accumulate(precision[::-1])[::-1]
    places = [
        int(np.searchsorted(total, share * total[-1]))
        for share in (0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1)
    ]
    kept = [min(place, len(answered) - 1) for place in places if total[min(place, len(answered) - 1)] >= FEWEST]
    return [(answered[place].confidence, float(rising[place])) for place in reversed(kept)]


def report_ranking(outcomes: Sequence[Outcome]) -> None:
    """How often the quotes contain the answer, where the hits do."""
    print("\nanswer in quotes, of answerable questions")
    for group, found in _by_group(one for one in outcomes if one.case.removed == "nothing" and one.case.answerable):
        print(f"  {group:12} {len(found):5}  {_share(found, lambda one: one.right):.3f}")


def report_evidence(outcomes: Sequence[Outcome]) -> None:
    """Abstaining, both ways: what is kept of the answerable, what is caught of the rest, how pure each side is."""
    print(
        "\nevidence            kept    caught: passage gone, subject gone, as annotated   precision of abstaining   AUC"
    )
    for group, found in _by_group(outcomes):
        answerable = [one for one in found if one.case.answerable]
        gone = [one for one in found if not one.case.answerable]
        abstained = [one for one in found if one.evidence < MINIMUM_EVIDENCE]
        caught = [
            _share([one for one in gone if one.case.removed == removed], lambda one: one.evidence < MINIMUM_EVIDENCE)
            for removed in ("passage", "subject", "nothing")
        ]
        print(
            f"  {group:12} {_share(answerable, lambda one: one.evidence >= MINIMUM_EVIDENCE):10.3f}"
            f" {caught[0]:20.3f} {caught[1]:13.3f} {caught[2]:13.3f}"
            f" {_share(abstained, lambda one: not one.case.answerable):24.3f} {_auc(found):8.3f}"
        )


def report_confidence(outcomes: Sequence[Outcome]) -> None:
    """The tier that costs nothing: how many questions it may take at the wanted precision."""
    knots = curve(outcomes)
    print(f"\nextractive answers at a confidence of {WANTED}: precision and share of the questions")
    border = next((chance for chance, precision in knots if precision >= WANTED), 1.1)
    asked = [one for one in outcomes if one.case.removed == "nothing"]
    for group, found in (*_by_group(asked), ("all", asked)):
        sure = [one for one in found if one.confidence >= border and one.evidence >= MINIMUM_EVIDENCE]
        print(f"  {group:12} {_share(sure, lambda one: one.right):.3f}  {len(sure) / len(found):.3f}  ({len(sure)})")


def _by_group(outcomes: Iterable[Outcome]) -> list[tuple[str, list[Outcome]]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.case.group].append(outcome)
    return sorted(groups.items())


def _share(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> float:
    return sum(map(holds, outcomes)) / len(outcomes) if outcomes else float("nan")


def _auc(outcomes: Sequence[Outcome]) -> float:
    truth = np.array([one.case.answerable for one in outcomes])
    ranks = np.array([one.evidence for one in outcomes]).argsort(kind="stable").argsort(kind="stable") + 1
    positive = truth.sum()
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / max(1, positive * (~truth).sum()))


if __name__ == "__main__":
    main()
