"""BM25 as sparse vectors: term weights here, inverse document frequency in Qdrant (`Modifier.IDF`).

One encoder for every store, so that an index moves between Qdrant Edge and a Qdrant server unchanged. The engine's own
encoder says which term a word is. It stems each word of each text anew, a third of the work on a chunk; where the
boundaries of all words are certain a text is weighed here, from what it once said of them: the same to the last bit.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from functools import cache, lru_cache

from qdrant_edge import Bm25, Bm25Config

from ragkit.nouns import Sparse
from ragkit.words.memo import Memo
from ragkit.words.text import LOWERED

AVERAGE_CHUNK_LENGTH = 120.0
"""Terms in an average chunk of the default size, after stop words: the length that BM25 normalizes to."""
SATURATION, NORMALIZATION = 1.2, 0.75
"""BM25's k and b, at the engine's own defaults."""

TITLE_WEIGHT = 2
"""How often a title counts: its few words say what the whole document is about. Twice lifts nDCG@10 by up to three
points where titles tell; more begins to cost where every chunk of a long document has the same."""

MOST_WORDS = 50_000
"""Words that are remembered: about 8 MiB."""
_SIGNS = re.compile(
    "[\x80-\xa9\xab-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7\u2000-\u206f\u20a0-\u20bf\u2122\u2190-\u23ff"
    "\u2500-\u2767\u2794-\u27bf\ufe0e\ufe0f\U0001f300-\U0001faff]"
)
_LATIN = re.compile("[0-9a-z\xaa\xb2\xb3\xb5\xb9\xba\xbc-\xbe\xc0-\xd6\xd8-\xf6\xf8-\u024f]+")
"""What separates words like a blank, and words that nothing in them separates, without doubt."""


class _Foreign(Exception):
    """A word that the engine has to see in its text."""


def _term(word: bytes) -> int | None:
    """The term of a word, None for one that does not count."""
    text = word.decode()
    if not word.isascii() and _LATIN.fullmatch(text) is None:
        raise _Foreign
    return next(iter(_model().embed_document(text).indices), None)


_terms = Memo(_term, MOST_WORDS)


@cache
def _model() -> Bm25:
    return Bm25(Bm25Config(language="english", avg_len=AVERAGE_CHUNK_LENGTH, ascii_folding=True))


def encode_document(text: str) -> Sparse:
    """Saturated, length-normalized term weights of a chunk."""
    plain = text if text.isascii() else _SIGNS.sub(" ", text)
    try:
        counts = Counter(map(_terms.__getitem__, plain.encode().translate(LOWERED).split()))
    except _Foreign:
        vector = _model().embed_document(text)
        return Sparse(tuple(vector.indices), tuple(vector.values))
    del counts[None]
    weights = _weights(counts.total(), max(counts.values(), default=0))
    return Sparse(tuple(counts), tuple(map(weights.__getitem__, counts.values())))  # type: ignore[arg-type]


def encode_chunk(title: str, section: tuple[str, ...], text: str, context: str = "") -> Sparse:
    """A chunk's terms with those of the headings above it, and of its context."""
    headings = (title,) * TITLE_WEIGHT + tuple(part for part in section if part != title)
    return encode_document("\n".join((*headings, context, text) if context else (*headings, text)))


def encode_query(text: str) -> Sparse:
    """Weight 1 for each distinct term of a question."""
    vector = _model().embed_query(text)
    return Sparse(tuple(vector.indices), tuple(vector.values))


@lru_cache(maxsize=4096)
def _weights(length: int, most: int) -> tuple[float, ...]:
    """The weight of a term by how often it occurs, up to `most`, in single precision like the engine's own."""
    norm = SATURATION * (1 - NORMALIZATION + NORMALIZATION * length / AVERAGE_CHUNK_LENGTH)
    return tuple(array("f", (count * (SATURATION + 1) / (count + norm) for count in range(most + 1))))
