"""Trains `ragkit/routing/complexity.bin`, the router of the package, and prints how its scores lie and how fast it is.

    python bench/train_router.py --data DATA            measures the file in the package
    python bench/train_router.py --data DATA --fit      trains it anew first
    python bench/train_router.py --data DATA --marks    fits `MARKS` of `ragkit.routing.complexity`

`bench/router.py` measures on questions and subjects that were held out.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import exp
from pathlib import Path
from statistics import quantiles

from router_data import Labelled, labelled, mmlu, mtbench

from ragkit.routing.complexity import assess, marks
from ragkit.routing.file import PACKAGED, load, save
from ragkit.routing.fit import train
from ragkit.routing.report import threshold

PENALTY, STEPS, RATE = 0.01, 20_000, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", action="store_true", help="train and overwrite the package's file")
    parser.add_argument("--marks", action="store_true", help="print what the marks weigh, whole and without a source")
    options = parser.parse_args()
    choices, open_tasks, questions = mmlu(options.data), mtbench(options.data), labelled(options.data)
    if options.marks:
        show_marks(questions)
        return
    if options.fit:
        save(train(choices), PACKAGED)
    scorer = load(PACKAGED)
    scores: dict[str, list[float]] = defaultdict(list)
    for one in questions:
        scores[f"{one.source}, {'complex' if one.hard else 'simple'}"].append(assess(one.text, scorer).score)
    scores["mmlu"] = [assess(example.text, scorer).score for example in choices]
    scores["mt-bench"] = [assess(example.text, scorer).score for example in open_tasks]
    for name, found in scores.items():
        print(f"{name:22} {len(found):5}  deciles", *(f"{value:.2f}" for value in quantiles(found, n=10)))
    print(f"threshold for 95 % on its own training questions: {threshold(choices, scores['mmlu']):.3f}")
    begun = time.process_time()
    for example in choices[:1000]:
        assess(example.text, scorer)
    print(f"{(time.process_time() - begun):.3f} ms of CPU a question")


def show_marks(questions: Sequence[Labelled]) -> None:
    print("all", *(f"{weight:.3f}" for weight in fit_marks(questions)))
    for source in sorted({one.source for one in questions}):
        weights = fit_marks([one for one in questions if one.source != source])
        print(f"without {source}", *(f"{weight:.3f}" for weight in weights))


def fit_marks(questions: Sequence[Labelled]) -> list[float]:
    """Logistic regression by plain descent; all sources and labels count alike, no mark makes a question simpler."""
    kinds = Counter((one.source, one.hard) for one in questions)
    rows = [(1.0, *marks(one.text)) for one in questions]
    shares = [1 / kinds[one.source, one.hard] / len(kinds) for one in questions]
    weights = [0.0] * len(rows[0])
    for _ in range(STEPS):
        slopes = [PENALTY * weight for weight in weights]
        slopes[0] = 0.0
        for row, share, one in zip(rows, shares, questions, strict=True):
            miss = share * (1 / (1 + exp(-sum(map(float.__mul__, weights, row)))) - one.hard)
            slopes = [slope + miss * value for slope, value in zip(slopes, row, strict=True)]
        weights = [weight - RATE * slope for weight, slope in zip(weights, slopes, strict=True)]
        weights[1:] = [max(0.0, weight) for weight in weights[1:]]
    return weights


if __name__ == "__main__":
    main()
