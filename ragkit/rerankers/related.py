"""Words that mean something similar, so that a chunk about a prison fits a question about a jail.

The table was made by `bench/related_words.py`: distances between single words in a sentence embedder's space. A line
holds a word and its relatives, each with its similarity as a digit: 5 for 0.5, 9 for 0.9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from ragkit.rerankers.reading import Read, Wanted
from ragkit.words.terms import term

RELATED = ("related_cover", "related_bm25", "related_sentence", "related_title", "related_early")

BLOCK = 12
"""Half of the words that are looked at together: blocks overlap, so that no sentence is cut in two everywhere."""

SATURATION = 1.2

Meaning = Mapping[int, tuple[tuple[int, float], ...]]
Found = Sequence[tuple[int, int]]
"""Places in a text and the terms that stand there."""


def meaning(wanted: Wanted) -> Meaning:
    """For each term that says something of the question: which of its terms, by their place, and how closely."""
    found: dict[int, dict[int, float]] = {}
    for place, asked in enumerate(wanted.rarity):
        found.setdefault(asked, {})[place] = 1.0
        for relative, similarity in _relatives(asked):
            found.setdefault(relative, {}).setdefault(place, similarity)
    return {relative: tuple(meant.items()) for relative, meant in found.items()}


def related(wanted: Wanted, meant: Meaning, found: Found, title: Read) -> list[float]:
    """How much of the question a chunk says in its own or in related words, in the order of `RELATED`.

    `found` are the places of the chunk that mean something of the question.
    """
    none = [0.0] * len(wanted.rarity)
    amounts = none.copy()
    blocks: dict[int, list[float]] = defaultdict(none.copy)
    for place, said in found:
        block = blocks[place // BLOCK]
        for asked, similarity in meant[said]:
            amounts[asked] += similarity
            if similarity > block[asked]:
                block[asked] = similarity
    spans = {number: list(map(max, block, blocks.get(number + 1, none))) for number, block in blocks.items()}
    early = (spans.get(0) or blocks.get(1, none), spans.get(1) or blocks.get(2, none))
    return [
        wanted.weigh(list(map(max, none, none, *blocks.values()))),
        wanted.weigh([amount / (amount + SATURATION) for amount in amounts]),
        max(map(wanted.weigh, spans.values()), default=0.0),
        wanted.weigh(_titled(meant, title, none)),
        max(map(wanted.weigh, early)),
    ]


def _titled(meant: Meaning, title: Read, none: Sequence[float]) -> list[float]:
    best = list(none)
    for said in title.terms & meant.keys():
        for asked, similarity in meant[said]:
            best[asked] = max(best[asked], similarity)
    return best


def _relatives(stem: int) -> list[tuple[int, float]]:
    return [(term(entry[:-1]), int(entry[-1]) / 10) for entry in _table().get(stem, "").split()]


@cache
def _table() -> Mapping[int, str]:
    lines = files("ragkit.rerankers").joinpath("related.txt").read_text("ascii").splitlines()
    return {term(word): relatives for word, _, relatives in (line.partition(" ") for line in lines)}
