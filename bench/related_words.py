"""Makes the embedded reranker's table of related words from MiniLM's vectors of single words.

    python bench/related_words.py

The words are those that the model's tokenizer keeps whole, so that the table owes nothing to any question set.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
from dense_vectors import minilm
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragkit.embedders.fastembed import FastembedEmbedder
from ragkit.words.terms import term

TARGET = Path(__file__).parents[1] / "ragkit" / "rerankers" / "related.txt"
SHORTEST, MOST, LEAST_SIMILAR = 3, 6, 0.5
BLOCK = 2000


def vocabulary() -> list[str]:
    """Whole words in the order of the tokenizer, which is by frequency."""
    ids = Tokenizer.from_file(str(minilm() / "tokenizer.json")).get_vocab()
    words = sorted(ids, key=lambda word: ids[word])
    return [word for word in words if word.isascii() and word.isalpha() and len(word) >= SHORTEST]


def by_stem(words: list[str], vectors: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """One word per stem, the most frequent, with the mean of its forms, turned away from what all words share."""
    forms: dict[int, list[int]] = {}
    for place, word in enumerate(words):
        if stem := term(word):
            forms.setdefault(stem, []).append(place)
    means = np.array([vectors[places].mean(axis=0) for places in forms.values()])
    means -= means.mean(axis=0)
    return [words[places[0]] for places in forms.values()], means / np.linalg.norm(means, axis=1, keepdims=True)


def lines(names: list[str], vectors: NDArray[np.float32]) -> list[str]:
    found = []
    for start in range(0, len(names), BLOCK):
        similar = vectors[start : start + BLOCK] @ vectors.T
        similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -1
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :MOST]
        for row, places in enumerate(nearest):
            close = [place for place in places if similar[row, place] >= LEAST_SIMILAR]
            if close:
                entries = (f"{names[place]}{min(9, int(similar[row, place] * 10))}" for place in close)
                found.append(f"{names[start + row]} {' '.join(entries)}")
    return sorted(found)


def main() -> None:
    words = vocabulary()
    embedded = asyncio.run(FastembedEmbedder(str(minilm())).embed_documents(words))
    names, vectors = by_stem(words, np.array(embedded.vectors, np.float32))
    TARGET.write_text("\n".join(lines(names, vectors)) + "\n", "ascii")


if __name__ == "__main__":
    main()
