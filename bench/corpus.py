"""Synthetic documents at scale: sentences drawn from real ones where there are any, else from a made-up vocabulary."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

WORDS = 20_000
SETS = ("wiki_distractors", "mtrag_un", "covid_qa")


def sentences(data: Path | None, seed: int = 0) -> list[str]:
    """A pool of sentences to compose documents from."""
    found = [] if data is None else [sentence for name in SETS for sentence in _read(data / name)]
    return found or list(_made_up(random.Random(seed)))


def documents(pool: list[str], *, count: int, characters: int, seed: int = 0) -> Iterator[str]:
    """Markdown of about this length each; popular sentences come often, as words do in real text."""
    chance = random.Random(seed)
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(pool))))
    for number in range(count):
        length, parts = 0, [f"# Document {number}\n"]
        while length < characters:
            paragraph = " ".join(chance.choices(pool, cum_weights=weights, k=5))
            parts.append(paragraph)
            length += len(paragraph) + 2
        yield "\n\n".join(parts)


def questions(pool: list[str], count: int, seed: int = 1) -> list[str]:
    """Half a dozen words of a sentence each, as if somebody remembered a part of it."""
    chance = random.Random(seed)
    asked = []
    while len(asked) < count:
        words = chance.choice(pool).split()
        if len(words) >= 8:
            asked.append("What about " + " ".join(chance.sample(words, 6)) + "?")
    return asked


def _read(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("corpus.jsonl*")):
        raw = file.read_bytes()
        for line in (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode().splitlines():
            text = json.loads(line)["text"].replace("\n", " ")
            yield from (sentence.strip() + "." for sentence in text.split(". ") if len(sentence) > 40)


def _made_up(chance: random.Random) -> Iterator[str]:
    vocabulary = ["".join(chance.choices("abcdefghilmnoprstu", k=chance.randint(2, 10))) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(WORDS)))
    for _ in range(20_000):
        words = chance.choices(vocabulary, cum_weights=weights, k=chance.randint(8, 28))
        yield " ".join(words).capitalize() + "."
