"""Many small trees walked at once: what each signal rules out is looked up, and what is left is the answer.

Every tree has a byte with a bit per leaf, from left to right. A node whose signal is above its threshold rules out the
leaves on its low side; of those that no node ruled out, the first is where a walk from the root would end. So a row is
scored with one search per signal, not with a step per node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import and_, getitem

Node = tuple[int, float, int, int]
"""Signal, threshold, and where to go if it is not above, or above: a node by its place, or a leaf by `~place`."""

MOST_LEAVES = 8


@dataclass(frozen=True, slots=True)
class Tree:
    nodes: tuple[Node, ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forest:
    """Signals, each with its thresholds and what is left before, between and after them; and each tree's values."""

    signals: tuple[tuple[int, tuple[float, ...], tuple[int, ...]], ...] = ()
    values: tuple[tuple[float, ...], ...] = ()

    def __call__(self, row: Sequence[float]) -> float:
        """The sum of the leaves where a row ends."""
        left = (1 << 8 * len(self.values)) - 1
        for signal, thresholds, kept in self.signals:
            left &= kept[bisect_left(thresholds, row[signal])]
        return sum(map(getitem, self.values, left.to_bytes(len(self.values), "little")))


def plant(trees: Sequence[Tree]) -> Forest:
    """Trees as a forest."""
    every = (1 << 8 * len(trees)) - 1
    nodes: dict[int, list[tuple[float, int]]] = {}
    values = []
    for place, tree in enumerate(trees):
        order = list(_leaves(tree, 0 if tree.nodes else ~0))
        if len(order) > MOST_LEAVES:
            raise ValueError(f"a tree has {len(order)} leaves: {MOST_LEAVES} are allowed")
        for signal, threshold, low, _ in tree.nodes:
            ruled_out = sum(1 << order.index(leaf) for leaf in _leaves(tree, low))
            nodes.setdefault(signal, []).append((threshold, every ^ ruled_out << 8 * place))
        values.append(tuple(_first(left, [tree.leaves[leaf] for leaf in order]) for left in range(256)))
    return Forest(tuple(_by_threshold(signal, nodes[signal], every) for signal in sorted(nodes)), tuple(values))


def _leaves(tree: Tree, place: int) -> Iterator[int]:
    """The leaves under a node, or the leaf itself, from left to right."""
    if place < 0:
        yield ~place
        return
    _, _, low, high = tree.nodes[place]
    yield from _leaves(tree, low)
    yield from _leaves(tree, high)


def _first(left: int, leaves: Sequence[float]) -> float:
    return next((leaf for bit, leaf in enumerate(leaves) if left >> bit & 1), 0.0)


def _by_threshold(
    signal: int, nodes: Sequence[tuple[float, int]], every: int
) -> tuple[int, tuple[float, ...], tuple[int, ...]]:
    nodes = sorted(nodes)
    kept = tuple(accumulate((one for _, one in nodes), and_, initial=every))
    return signal, tuple(threshold for threshold, _ in nodes), kept
