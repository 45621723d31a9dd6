"""Routers as files: three tables of bytes, then the numbers of the linear models and of the trees.

`bench/train_router.py` writes the one in the package, `ragkit route fit` those of users.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from ragkit.errors import ConfigError
from ragkit.routing.complexity import BUCKETS, Lines, Scorer
from ragkit.routing.forest import NODES, Forest, Tree
from ragkit.routing.form import form

PACKAGED = Path(__file__).with_name("complexity.bin")
MAGIC = b"ragkit-complexity-3\n"
OUTCOMES = 4
LEAVES = (NODES + 1) * OUTCOMES
HEAD = 7 + OUTCOMES
"""Numbers before the trees: of the linear models, of what is known, of thresholds, and where the trees start from."""
COLUMNS = len(form("", ())) + 3


@cache
def packaged() -> Scorer:
    """The router in the package, read once."""
    return load(PACKAGED)


def load(path: Path) -> Scorer:
    """Raises `ConfigError` for a file that `save` has not written."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the router's {path}: {error.strerror}; `ragkit route fit` writes it") from error
    numbers, head = array("d"), len(MAGIC) + 3 * BUCKETS
    tail = raw[head:]
    per_tree = 2 * NODES + LEAVES
    if not raw.startswith(MAGIC) or len(tail) % numbers.itemsize:
        raise _strange(path)
    numbers.frombytes(tail)
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(numbers) < HEAD or (len(numbers) - HEAD) % per_tree:
        raise _strange(path)
    left = iter(numbers)
    scale, strong, weak, plain, choices, medium, large = islice(left, 7)
    start = tuple(islice(left, OUTCOMES))
    try:
        trees = tuple(_tree(left) for _ in range((len(numbers) - HEAD) // per_tree))
    except ValueError as error:
        raise _strange(path) from error
    tables = [raw[len(MAGIC) + at * BUCKETS :][:BUCKETS] for at in range(3)]
    lines = Lines(array("b", tables[0]), array("b", tables[1]), tables[2], scale, (strong, weak))
    return Scorer(lines, Forest(start, trees), (plain, choices), (medium, large))


def save(scorer: Scorer, path: Path) -> None:
    """Write a router where `load` finds it. Nothing of the questions that it was trained on can be read in it."""
    lines, forest = scorer.lines, scorer.forest
    numbers = array("d", (lines.scale, *lines.bias, *scorer.known, *scorer.floors, *forest.start))
    for tree in forest.trees:
        numbers.extend((*map(float, tree.columns), *tree.cuts, *(number for leaf in tree.leaves for number in leaf)))
    if sys.byteorder == "big":
        numbers.byteswap()
    tables = bytes(array("b", [*lines.strong, *lines.weak])) + lines.rarity
    path.write_bytes(MAGIC + tables + numbers.tobytes())


def _tree(left: Iterator[float]) -> Tree:
    columns, cuts = list(islice(left, NODES)), tuple(islice(left, NODES))
    if not all(0 <= column < COLUMNS for column in columns):
        raise ValueError("a tree asks for a column that does not exist")
    leaves = tuple(tuple(islice(left, OUTCOMES)) for _ in range(NODES + 1))
    return Tree(tuple(map(int, columns)), cuts, leaves)


def _strange(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a file for the router of this version: `ragkit route fit` writes one")
