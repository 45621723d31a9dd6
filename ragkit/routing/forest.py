"""Small boosted trees over a few numbers, for the chances of several outcomes: trained and asked in pure Python.

Every leaf holds something for each outcome, so that a tree splits where all of them differ. Outcomes may be shares.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

DEPTH = 3
NODES = (1 << DEPTH) - 1
ROUNDS = 60
RATE = 0.05
PENALTY = 10.0
"""What a leaf is held against: as many outcomes, times their variance, that are as everywhere."""
LEAST = 20.0
"""Examples on either side of a split."""
BINS = 24
ROWS, COLUMNS = 0.7, 0.25
"""The part of the rows and of the columns that a tree sees."""
RARE = 1e-3
"""The least that an outcome is expected at the start."""
Row = Sequence[float]
Numbers = Sequence[float]


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes in the order of a heap, each with a column and the number above which the way goes right; then leaves."""

    columns: tuple[int, ...]
    cuts: tuple[float, ...]
    leaves: tuple[tuple[float, ...], ...]

    def leaf(self, row: Row) -> tuple[float, ...]:
        at = 0
        while at < NODES:
            at = 2 * at + 1 + (row[self.columns[at]] > self.cuts[at])
        return self.leaves[at - NODES]


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaves add up to the log odds of outcomes."""

    start: tuple[float, ...]
    trees: tuple[Tree, ...] = ()

    def chances(self, row: Row) -> list[float]:
        return shares(list(map(sum, zip(self.start, *(tree.leaf(row) for tree in self.trees), strict=True))))


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows as the bins of their columns, with the number that ends each bin."""

    edges: tuple[tuple[float, ...], ...]
    columns: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The rows that a tree sees: their weights, what pulls each outcome of theirs, and how much an outcome yields."""

    rows: Sequence[int]
    weights: Numbers
    pulls: Sequence[Numbers]
    bends: Numbers


def shares(odds: Sequence[float]) -> list[float]:
    """Chances that add up to one."""
    most = max(odds)
    powers = [exp(value - most) for value in odds]
    whole = sum(powers)
    return [power / whole for power in powers]


def plant(rows: Sequence[Row], targets: Sequence[Numbers], weights: Numbers, *, seed: int = 0) -> Forest:
    """Boost trees, each grown on a part of the rows and columns."""
    table, drawn = _binned(rows), random.Random(seed)  # noqa: S311 - which rows a tree sees is no secret
    outcomes, whole = list(zip(*targets, strict=True)), sum(weights)
    means = [sum(t * w for t, w in zip(of, weights, strict=True)) / whole for of in outcomes]
    start = tuple(log(max(mean, RARE)) for mean in means)
    odds, trees = [list(start) for _ in rows], []
    for _ in range(ROUNDS):
        chances = list(zip(*map(shares, odds), strict=True))
        seen = drawn.sample(range(len(rows)), max(1, round(ROWS * len(rows))))
        columns = drawn.sample(range(len(table.columns)), max(1, round(COLUMNS * len(table.columns))))
        tree, places = _grow(table, columns, _sample(seen, chances, outcomes, weights))
        odds = [
            [a + b for a, b in zip(of, tree.leaves[place], strict=True)] for of, place in zip(odds, places, strict=True)
        ]
        trees.append(tree)
    return Forest(start, tuple(trees))


def _binned(rows: Sequence[Row]) -> _Table:
    edges, columns = [], []
    for column in zip(*rows, strict=True):
        ordered = sorted(column)
        known = sorted(set(ordered))
        cuts = {ordered[len(ordered) * number // BINS] for number in range(1, BINS)} - {ordered[-1]}
        # Half of the way to the next number, so that what lies between goes to the nearer side.
        steps = tuple((cut + known[bisect_left(known, cut) + 1]) / 2 for cut in sorted(cuts))
        edges.append(steps)
        columns.append(bytes(bisect_left(steps, value) for value in column))
    return _Table(tuple(edges), tuple(columns))


def _sample(seen: Sequence[int], chances: Sequence[Numbers], outcomes: Sequence[Numbers], weights: Numbers) -> _Sample:
    pulls = [[weights[row] * (of[row] - at[row]) for row in seen] for of, at in zip(outcomes, chances, strict=True)]
    usual = len(outcomes) / (len(outcomes) - 1)
    bends = [usual * sum(one * (1 - one) for one in at) / len(at) for at in chances]
    return _Sample(seen, [weights[row] for row in seen], pulls, bends)


def _grow(table: _Table, columns: Sequence[int], sample: _Sample) -> tuple[Tree, list[int]]:
    """A tree, and the leaf of every row."""
    chosen: list[int] = []
    cuts: list[float] = []
    places = [0] * len(table.columns[0])
    for depth in range(DEPTH):
        splits = _splits(table, columns, sample, [places[row] for row in sample.rows], 1 << depth)
        chosen += [column for column, _ in splits]
        cuts += [_cut(table, *split) for split in splits]
        places = [
            2 * place + (table.columns[splits[place][0]][row] > splits[place][1]) for row, place in enumerate(places)
        ]
    return Tree(tuple(chosen), tuple(cuts), _leaves([places[row] for row in sample.rows], sample)), places


def _cut(table: _Table, column: int, last: int) -> float:
    edges = table.edges[column]
    return edges[last] if last < len(edges) else inf


def _splits(
    table: _Table, columns: Sequence[int], sample: _Sample, places: Sequence[int], nodes: int
) -> list[tuple[int, int]]:
    """The best column of each node of a depth, and the last of its bins that goes left; all of them where none is."""
    best = [(0.0, columns[0], BINS)] * nodes
    starts = [BINS * place for place in places]
    for column in columns:
        bins = table.columns[column]
        cells = [start + bins[row] for start, row in zip(starts, sample.rows, strict=True)]
        sums = [_summed(cells, numbers, nodes * BINS) for numbers in (sample.weights, *sample.pulls)]
        for node in range(nodes):
            here = slice(node * BINS, (node + 1) * BINS)
            gain, last = _best([of[here] for of in sums], sample.bends)
            if gain > best[node][0]:
                best[node] = (gain, column, last)
    return [(column, last) for _, column, last in best]


def _summed(cells: Sequence[int], numbers: Numbers, count: int) -> list[float]:
    sums = [0.0] * count
    for cell, number in zip(cells, numbers, strict=True):
        sums[cell] += number
    return sums


def _best(sums: Sequence[Numbers], bends: Numbers) -> tuple[float, int]:
    """What the best cut brings over none, and the last bin to its left."""
    whole, best = [sum(of) for of in sums], (0.0, BINS)
    plain, left = _worth(whole, bends), [0.0] * len(sums)
    for number, added in enumerate(zip(*sums, strict=True)):
        left = [a + b for a, b in zip(left, added, strict=True)]
        if added[0] and left[0] >= LEAST and whole[0] - left[0] >= LEAST:
            right = [a - b for a, b in zip(whole, left, strict=True)]
            best = max(best, (_worth(left, bends) + _worth(right, bends) - plain, number))
    return best


def _worth(sums: Numbers, bends: Numbers) -> float:
    weight, *pulls = sums
    return sum(pull * pull / (weight * bend + PENALTY) for pull, bend in zip(pulls, bends, strict=True))


def _leaves(places: Sequence[int], sample: _Sample) -> tuple[tuple[float, ...], ...]:
    weights, *pulls = (_summed(places, numbers, NODES + 1) for numbers in (sample.weights, *sample.pulls))
    pulled = zip(*pulls, strict=True)
    return tuple(
        tuple(RATE * pull / (weight * bend + PENALTY) for pull, bend in zip(of, sample.bends, strict=True))
        for weight, of in zip(weights, pulled, strict=True)
    )
