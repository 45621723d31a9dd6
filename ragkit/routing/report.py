"""Whether routing pays: a router against always the same model, prompt length, neighbours, chance and hindsight.

A router orders questions by what a strong model would gain; its curve tells how good the answers are when the first
so many go to the strong model. Every number that was fitted is measured on questions that were held out.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log

from ragkit.routing.complexity import Complexity, Scorer, assess
from ragkit.routing.fit import Example, parts_of, train
from ragkit.words.text import words

WANTED = 0.95
"""The share of the strong model's quality that is asked for."""
FOLDS = 5
RESAMPLES = 200
NEIGHBOURS = 40
COMMON = 0.05
"""Words in a larger share of questions find no neighbours."""
Scores = Sequence[float]


@dataclass(frozen=True, slots=True)
class Measured:
    """A router's curve in two numbers, each with the bounds that 95 % of resamples keep.

    `calls` is the share of strong calls at the wanted quality; `recovered` the part of the gap between the models that
    it closes on average over all shares: 0 for the weak model, 1 for the strong one, 0.5 by chance.
    """

    name: str
    calls: float
    calls_bounds: tuple[float, float]
    recovered: float
    recovered_bounds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class RouterReport:
    """All routers on the same questions, and what follows from that."""

    questions: int
    strong: float
    weak: float
    routers: tuple[Measured, ...]
    verdict: str
    pays: bool


def report(examples: Sequence[Example], *, scorer: Scorer | None = None, by_group: bool = False) -> RouterReport:
    """Measure routers on outcomes; without a `scorer` one is trained per fold. `by_group` holds out whole groups."""
    parts = folds(examples, by_group=by_group)
    length = [float(len(example.text)) for example in examples]
    ours = held_out(examples, parts) if scorer is None else [assess(one.text, scorer).score for one in examples]
    gains = [example.strong - example.weak for example in examples]
    chance = random.Random(0)  # noqa: S311 - a baseline, not a secret
    named = {
        "ragkit": ours,
        "prompt length": length,
        "neighbours": neighbours(examples, parts),
        "chance": [chance.random() for _ in examples],
        "hindsight": gains,
    }
    measured = tuple(measure(name, examples, scores) for name, scores in named.items())
    strong, weak = (_mean(one.strong for one in examples), _mean(one.weak for one in examples))
    pays, verdict = _verdict(examples, ours, length, measured[0])
    return RouterReport(len(examples), strong, weak, measured, verdict, pays)


def folds(examples: Sequence[Example], *, by_group: bool = False, count: int = FOLDS, seed: int = 1) -> list[int]:
    """The fold of each example: at random, or all of a group in one."""
    return parts_of([example.group if by_group else example.text for example in examples], count, seed)


def held_out(
    examples: Sequence[Example], parts: Sequence[int], fit: Callable[[Sequence[Example]], Scorer] = train
) -> list[float]:
    """Scores of each example by a router that was trained without its fold."""
    return [one.score for one in _assessed(examples, parts, fit)]


def _assessed(
    examples: Sequence[Example], parts: Sequence[int], fit: Callable[[Sequence[Example]], Scorer]
) -> list[Complexity]:
    found = [Complexity()] * len(examples)
    for part in sorted(set(parts)):
        scorer = fit([one for one, number in zip(examples, parts, strict=True) if number != part])
        for place, (one, number) in enumerate(zip(examples, parts, strict=True)):
            if number == part:
                found[place] = assess(one.text, scorer)
    return found


def neighbours(examples: Sequence[Example], parts: Sequence[int]) -> list[float]:
    """The mean gain of the questions in other folds that share the most telling words."""
    texts = [frozenset(words(example.text)) for example in examples]
    seen = Counter(word for text in texts for word in text)
    weights = {word: log(len(texts) / count) for word, count in seen.items() if 1 < count <= COMMON * len(texts) + 2}
    holders: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for word in text & weights.keys():
            holders[word].append(place)
    return [_near(place, texts, weights, holders, examples, parts) for place in range(len(texts))]


def _near(
    place: int,
    texts: Sequence[frozenset[str]],
    weights: dict[str, float],
    holders: dict[str, list[int]],
    examples: Sequence[Example],
    parts: Sequence[int],
) -> float:
    shared: dict[int, float] = defaultdict(float)
    for word in texts[place] & weights.keys():
        for other in holders[word]:
            shared[other] += weights[word]
    near = sorted((-of, other) for other, of in shared.items() if parts[other] != parts[place])[:NEIGHBOURS]
    total = -sum(of for of, _ in near)
    gains = -sum(of * (examples[other].strong - examples[other].weak) for of, other in near)
    return gains / (total or 1.0)


def measure(name: str, examples: Sequence[Example], scores: Scores, *, resamples: int = RESAMPLES) -> Measured:
    """A router's numbers on all questions, and their bounds over resampled ones."""
    ordered = sorted(range(len(scores)), key=lambda place: -scores[place])
    outcomes = [(examples[place].strong, examples[place].weak) for place in ordered]
    chance = random.Random(2)  # noqa: S311 - resamples are no secret
    drawn = []
    for _ in range(resamples):
        counts = Counter(chance.choices(range(len(outcomes)), k=len(outcomes)))
        drawn.append(_curve([outcomes[place] for place in sorted(counts.elements())]))
    calls, recovered = _curve(outcomes)
    return Measured(name, calls, _bounds([one for one, _ in drawn]), recovered, _bounds([one for _, one in drawn]))


def _curve(outcomes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Strong calls that the wanted quality takes, and the part of the gap closed; outcomes in the router's order."""
    strong, weak = sum(one for one, _ in outcomes), sum(one for _, one in outcomes)
    quality, calls, area = weak, None, 0.0
    for place, (better, worse) in enumerate(outcomes):
        if calls is None and quality >= WANTED * strong:
            calls = place / len(outcomes)
        area += quality - weak
        quality += better - worse
    gap = (strong - weak) * len(outcomes)
    return (1.0 if calls is None else calls), (area / gap if gap else 0.5)


def _bounds(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))]


def _verdict(examples: Sequence[Example], ours: Scores, length: Scores, measured: Measured) -> tuple[bool, str]:
    strong, weak = (_mean(one.strong for one in examples), _mean(one.weak for one in examples))
    if strong <= weak:
        return False, "routing does not pay here: the weak model is as good; ask it always"
    if weak >= WANTED * strong:
        return False, f"routing is not needed here: the weak model alone reaches {weak / strong:.0%} of the strong one"
    if measured.recovered_bounds[0] <= 0.5:
        return False, "routing does not pay here: the router is no better than chance on these questions"
    beaten = measure("", examples, length).recovered_bounds[1] < measured.recovered
    baseline = "prompt length and chance" if beaten else "chance, though not clearly prompt length"
    calls = f"{measured.calls:.0%} strong calls keep {WANTED:.0%} of the strong model's quality"
    return True, f"routing pays here: {calls}; it beats {baseline}"


def threshold(examples: Sequence[Example], scores: Scores, *, wanted: float = WANTED) -> float:
    """The score from which on the strong model must answer so that the wanted quality is kept."""
    strong, quality = sum(one.strong for one in examples), sum(one.weak for one in examples)
    least = 1.0
    for place in sorted(range(len(scores)), key=lambda place: -scores[place]):
        if quality >= wanted * strong:
            break
        quality += examples[place].strong - examples[place].weak
        least = scores[place]
    return least


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
