"""What the router is worth: strong calls for 95 % of the strong quality, the gap closed, and its speed.

    python bench/router.py --data DATA
    python bench/router.py --data DATA --divisions 4    new questions only, by other divisions into folds

Five folds at random (new questions of known subjects), then five folds of whole subjects (unknown ones), open tasks by
a router that has seen none, and questions to documents that were labelled. A curve orders all held out questions
together, as one threshold does in use. The last lines are the must-shows.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from router_data import Labelled, labelled, mmlu, mtbench

from ragkit.models import Catalogue
from ragkit.nouns import Model
from ragkit.route import Signals, choose
from ragkit.routing.complexity import Complexity, assess
from ragkit.routing.cost import Load, Market, Warmth
from ragkit.routing.file import packaged
from ragkit.routing.fit import Example, train
from ragkit.routing.report import Measured, RouterReport, folds, held_out, measure, report

MODELS = (
    Model("claude-haiku-5-5", "anthropic", "small", "claude-haiku-5-5", 1024, "none"),
    Model("claude-sonnet-5-5", "anthropic", "medium", "claude-sonnet-5-5", 1024, "low"),
    Model("claude-opus-5-5", "anthropic", "large", "claude-opus-5-5", 1024, "medium"),
)
RESAMPLES = 200
MEDIUM = Complexity(0.25, "it needs a medium model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--divisions", type=int, default=0, help="measure by so many other divisions instead")
    options = parser.parse_args()
    choices = mmlu(options.data)
    for seed in range(2, 2 + options.divisions):
        line(measure(f"division {seed}", choices, held_out(choices, folds(choices, seed=seed))))
    if options.divisions:
        return
    known = report(choices)
    show("new questions of known subjects", known)
    show("unknown subjects", report(choices, by_group=True))
    tasks(choices, mtbench(options.data))
    documents(labelled(options.data))
    speed = milliseconds(choices[:1000])
    ours = known.routers[0]
    print(f"\nstrong calls at 95 %: {ours.calls:.1%} (bar: 40 %)   gap closed: {ours.recovered:.3f} (bar: 0.68)")
    print(f"classify and decide: {speed:.3f} ms (bar: 1 ms)   warm Opus beats cold Sonnet: {warm_beats_cold()}")


def show(title: str, found: RouterReport) -> None:
    print(f"\n{title}: {found.questions:,} questions, strong {found.strong:.1%}, weak {found.weak:.1%}")
    for one in found.routers:
        line(one)
    print(f"  {found.verdict}")


def line(one: Measured) -> None:
    bounds = f"{one.calls_bounds[0]:.3f}-{one.calls_bounds[1]:.3f}"
    gap = f"{one.recovered_bounds[0]:.3f}-{one.recovered_bounds[1]:.3f}"
    print(f"  {one.name:14} strong calls {one.calls:.3f} ({bounds})   gap closed {one.recovered:.3f} ({gap})")


def tasks(choices: Sequence[Example], open_tasks: Sequence[Example]) -> None:
    """Open tasks with graded answers, by a router that was trained on questions with choices alone."""
    scorer = train(choices)
    print(f"\nopen tasks, none of them seen: {len(open_tasks)} questions")
    line(measure("ragkit", open_tasks, [assess(one.text, scorer).score for one in open_tasks]))
    line(measure("prompt length", open_tasks, [float(len(one.text)) for one in open_tasks]))


def documents(questions: Sequence[Labelled]) -> None:
    """How often a complex question scores above a simple one: all together, and within the source that has both."""
    print("\nquestions to documents, labelled simple or complex: how often a complex one scores above a simple one")
    both = [one for one in questions if one.source == "mtrag_un"]
    for name, of in (("all", questions), ("mtrag_un alone", both)):
        ours = separated(of, [assess(one.text, packaged()).score for one in of])
        length = separated(of, [float(len(one.text)) for one in of])
        print(f"  {name:14} {len(of):4}  ragkit {ours}   prompt length {length}")


def separated(questions: Sequence[Labelled], scores: Sequence[float]) -> str:
    """With the bounds that 95 % of resamples keep."""
    hard = [score for one, score in zip(questions, scores, strict=True) if one.hard]
    easy = [score for one, score in zip(questions, scores, strict=True) if not one.hard]
    chance = random.Random(3)
    drawn = sorted(
        above(chance.choices(hard, k=len(hard)), chance.choices(easy, k=len(easy))) for _ in range(RESAMPLES)
    )
    return f"{above(hard, easy):.3f} ({drawn[round(0.025 * RESAMPLES)]:.3f}-{drawn[round(0.975 * RESAMPLES) - 1]:.3f})"


def above(hard: Sequence[float], easy: Sequence[float]) -> float:
    return sum((a > b) + (a == b) / 2 for a in hard for b in easy) / (len(hard) * len(easy))


def milliseconds(examples: Sequence[Example]) -> float:
    """The mean of assessing a question and choosing among three models with cache states."""
    market = Market(Catalogue.load(), datetime.now(UTC))
    warmth = tuple(Warmth(model.id, model.effort, 0.5, 20_000, "5m", 5.0) for model in MODELS)
    scorer, begun = packaged(), time.process_time()
    for example in examples:
        choose(MODELS, Signals(assess(example.text, scorer), load=Load(2_500), warmth=warmth), market)
    return (time.process_time() - begun) / len(examples) * 1000


def warm_beats_cold() -> bool:
    """20,000 tokens of prefix that the question needs, 2,500 after it, 400 of output: $0.022 against $0.049."""
    outputs = {model.id: 400 for model in MODELS}
    warmth = tuple(
        Warmth(model.id, model.effort, float(model.tier == "large"), 20_000, "5m", 1.0, 20_000) for model in MODELS
    )
    signals = Signals(MEDIUM, load=Load(round(22_500 / 1.4), outputs=outputs), warmth=warmth)
    return choose(MODELS, signals, Market(Catalogue.load(), datetime.now(UTC))).model.tier == "large"


if __name__ == "__main__":
    main()
