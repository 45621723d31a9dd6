"""Training of the router on observed outcomes, in pure Python: linear models over words, then a forest.

What strong and weak models got right is noisy per question and steady per kind of question. Where examples name their
group, the linear models learn mostly the mean of the group. The forest learns from guesses about questions that those
models had not seen, so that it trusts them as far as they deserve.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import log, sqrt

from ragkit.routing.complexity import BUCKETS, Features, Lines, Scorer, features
from ragkit.routing.forest import plant

OWN_SHARE = 0.25
"""The part of a target that is the question's own outcome, where its group is known."""
GROUP_PRIOR = 10.0
"""Outcomes of the mean that a small group is given beside its own."""
PENALTY = 2.0
"""On the squares of a linear model's weights; a question's words together have a length of one."""
PASSES = 4
PARTS = 5
UNKNOWN = 50
"""Examples of a kind, with choices or without, of which half is believed."""
LARGEST = 127
RARITY = 16
"""Steps of a word's rarity, a logarithm, in one."""
Guess = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Example:
    """A question, and how right a strong and a weak model were, from 0 to 1; `weight` is how much it counts."""

    text: str
    strong: float
    weak: float
    group: str = ""
    weight: float = 1.0


def train(examples: Sequence[Example], *, seed: int = 0) -> Scorer:
    """A router for questions like these."""
    found = [features(example.text) for example in examples]
    rows = [(*one.form, *guess) for one, guess in zip(found, _guesses(examples, found, seed), strict=True)]
    targets = [_outcomes(example) for example in examples]
    forest = plant(rows, targets, [example.weight for example in examples], seed=seed)
    return Scorer(_lines(examples, found), forest, _known(found))


def parts_of(texts: Sequence[str], count: int, seed: int) -> list[int]:
    """A part for each text, at random and equally large; equal texts are in one, or they would give each other away."""
    order = list(dict.fromkeys(texts))
    random.Random(seed).shuffle(order)  # noqa: S311 - parts are no secret
    part = {text: number % count for number, text in enumerate(order)}
    return [part[text] for text in texts]


def smoothed(examples: Sequence[Example], name: str) -> list[float]:
    """Targets, drawn to the mean of their group."""
    values: list[float] = [getattr(example, name) for example in examples]
    mean = sum(values) / len(values)
    groups: dict[str, list[float]] = {}
    for example, value in zip(examples, values, strict=True):
        groups.setdefault(example.group, []).append(value)
    means = {name: (sum(of) + GROUP_PRIOR * mean) / (len(of) + GROUP_PRIOR) for name, of in groups.items()}
    return [
        OWN_SHARE * value + (1 - OWN_SHARE) * means[example.group] if example.group else value
        for example, value in zip(examples, values, strict=True)
    ]


def _known(found: Sequence[Features]) -> tuple[float, float]:
    choices = sum(one.choices for one in found)
    return _share(len(found) - choices), _share(choices)


def _share(count: int) -> float:
    return count / (count + UNKNOWN)


def _outcomes(example: Example) -> tuple[float, float, float, float]:
    """Both right, only the strong one, only the weak one, neither."""
    strong, weak = example.strong, example.weak
    return strong * weak, strong * (1 - weak), (1 - strong) * weak, (1 - strong) * (1 - weak)


def _guesses(examples: Sequence[Example], found: Sequence[Features], seed: int) -> list[Guess]:
    """What linear models tell of each example that were trained without it."""
    parts = parts_of([example.text for example in examples], PARTS, seed)
    guesses: dict[int, Guess] = {}
    for part in range(PARTS):
        others = [place for place, number in enumerate(parts) if number != part] or list(range(len(examples)))
        lines = _lines([examples[place] for place in others], [found[place] for place in others])
        guesses |= {place: lines.guess(found[place].words) for place, number in enumerate(parts) if number == part}
    return [guesses[place] for place in range(len(examples))]


def _lines(examples: Sequence[Example], found: Sequence[Features]) -> Lines:
    """Two ridge regressions on the same words, rounded to small integers with one scale."""
    rarity = _rarity(found)
    words = [one.words for one in found]
    values = [[rarity[bucket] for bucket in of] for of in words]
    sizes = [sqrt(sum(value * value for value in of)) or 1.0 for of in values]
    units = [[value / size for value in of] for of, size in zip(values, sizes, strict=True)]
    weights = [example.weight for example in examples]
    tables, biases = [], []
    for name in ("strong", "weak"):
        targets = smoothed(examples, name)
        bias = sum(t * w for t, w in zip(targets, weights, strict=True)) / sum(weights)
        table = _ridge(words, units, [target - bias for target in targets], weights)
        tables.append({bucket: value * rarity[bucket] for bucket, value in table.items()})
        biases.append(bias)
    scale = max((abs(value) for table in tables for value in table.values()), default=0.0) / LARGEST or 1.0
    strong, weak = (_whole(table, scale) for table in tables)
    return Lines(strong, weak, rarity, scale, (biases[0], biases[1]))


def _rarity(found: Sequence[Features]) -> bytes:
    counts = Counter(bucket for one in found for bucket in one.words)
    steps = {
        count: min(255, round(RARITY * (1 + log((1 + len(found)) / (1 + count))))) for count in (0, *counts.values())
    }
    rarity = bytearray([steps[0]]) * BUCKETS
    for bucket, count in counts.items():
        rarity[bucket] = steps[count]
    return bytes(rarity)


def _ridge(
    words: Sequence[Sequence[int]], units: Sequence[Sequence[float]], targets: Sequence[float], weights: Sequence[float]
) -> dict[int, float]:
    """Dual coordinate ascent: each example in turn takes the pull that it would have if the others were final."""
    table, pulls = dict.fromkeys(chain.from_iterable(words), 0.0), [0.0] * len(words)
    lengths = [sum(value * value for value in of) for of in units]
    for _ in range(PASSES):
        for at, (buckets, values) in enumerate(zip(words, units, strict=True)):
            slack = PENALTY / weights[at]
            told = sum([table[bucket] * value for bucket, value in zip(buckets, values, strict=True)])
            move = (targets[at] - told - slack * pulls[at]) / (lengths[at] + slack)
            pulls[at] += move
            for bucket, value in zip(buckets, values, strict=True):
                table[bucket] += move * value
    return table


def _whole(table: Mapping[int, float], scale: float) -> array[int]:
    numbers = array("b", bytes(BUCKETS))
    for bucket, value in table.items():
        numbers[bucket] = round(value / scale)
    return numbers
