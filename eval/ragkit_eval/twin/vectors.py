"""Embeddings and relevance without a model: hashed words as unit vectors, and weighted overlap of words."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from ragkit_eval.twin.answer import WORD, stems


def embed(text: str, dimensions: int) -> tuple[float, ...]:
    """A unit vector: texts that share words point the same way. A text without words has one fixed direction."""
    vector = [0.0] * dimensions
    counts = Counter(stem for word in WORD.findall(text) for stem in stems(word))
    for stem, number in sorted(counts.items()) or [("", 1)]:
        place, sign = _bucket(stem, dimensions)
        vector[place] += sign * (1 + math.log(number))
    length = math.sqrt(sum(value * value for value in vector))
    return tuple(value / length for value in vector) if length else (1.0, *vector[1:])


@lru_cache(maxsize=65_536)
def _bucket(stem: str, dimensions: int) -> tuple[int, float]:
    digest = int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "big")
    return digest // 2 % dimensions, 1.0 if digest % 2 else -1.0


def relevance(query: str, documents: Sequence[str]) -> tuple[float, ...]:
    """How much of the query's weight each document holds, in 0..1; rare words weigh more."""
    wanted = sorted(stems(query))
    held = [stems(document) for document in documents]
    weights = {stem: math.log(1 + (1 + len(held)) / (1 + sum(stem in words for words in held))) for stem in wanted}
    whole = sum(weights.values())
    if not whole:
        return (0.0,) * len(documents)
    return tuple(round(sum(weights[stem] for stem in wanted if stem in words) / whole, 6) for words in held)


def as_base64(vector: Sequence[float]) -> str:
    """Little-endian 32-bit floats, as OpenAI and Voyage send them on request."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
