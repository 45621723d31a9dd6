"""The learned part of the embedded reranker: a weighted sum and small trees over its signals, as plain numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from ragkit.rerankers.packed import Forest, Tree, plant
from ragkit.rerankers.signals import SIGNALS

Kind = Literal["lexical", "hybrid"]


@dataclass(frozen=True, slots=True)
class Model:
    """`slope`, `cover` and `intercept` turn a score into the chance of being relevant.

    The chance also counts how much of the question the best hit covers: scores compare the hits of one question, and
    say little about whether any of them answers it.
    """

    weights: tuple[float, ...]
    forest: Forest
    slope: float
    cover: float
    intercept: float

    def score(self, row: Sequence[float]) -> float:
        return sum(map(float.__mul__, self.weights, row)) + self.forest(row)

    def chance(self, score: float, best_cover: float) -> float:
        return 1 / (1 + math.exp(-max(-50.0, self.slope * score + self.cover * best_cover + self.intercept)))


@cache
def load(kind: Kind) -> Model:
    """The model for indexes with dense vectors or without."""
    table = json.loads(files("ragkit.rerankers").joinpath("model.json").read_text("ascii"))
    if tuple(table["signals"]) != SIGNALS:
        raise RuntimeError("model.json was learned for other signals: run bench/train_reranker.py --write")
    return parse(table[kind])


def parse(learned: Any) -> Model:
    """A model from its plain form in the file."""
    trees = [Tree(tuple((*node,) for node in nodes), tuple(leaves)) for nodes, leaves in learned["trees"]]
    slope, cover, intercept = learned["chance"]
    return Model(tuple(map(float, learned["weights"])), plant(trees), slope, cover, intercept)
