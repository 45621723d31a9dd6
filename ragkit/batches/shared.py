"""A prefix that the questions of one batch share: chunks that so many of them need that one copy is cheaper.

Nobody has to guess how often it is read: the questions are all there. What is not certain is that the provider runs
them close enough for its cache, so a share of reads is assumed to miss and to write again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Prefix, Prompt
from ragkit.prices.pricing import Band
from ragkit.prompt import SYSTEM, render_prefix
from ragkit.tokens import estimate_tokens, upper_bound_tokens

HIT_SHARE = Fraction(3, 4)
"""Reads that hit inside a batch; between 30 and 98 % are reported."""
MOST_CHUNKS = 40
ROOM = 4_000
"""Tokens left below a cliff of the price list, for what is not counted here."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a token costs at batch price, in pico-dollars: plain, read from the cache, written for an hour."""

    plain: int
    read: int
    write: int


def shared_prefix(prompts: Sequence[Prompt], price_id: str, catalogue: Catalogue, at: datetime) -> Prefix:
    """The chunks that pay as a prefix of all these prompts, marked for an hour; without any, an empty one says why."""
    spec = catalogue.model(price_id)
    first, *further = catalogue.bands(price_id, at=at, lane="batch")
    if "1h" not in spec.cache_ttls or first.price("cache_write_1h") < 0:
        return Prefix(reason=f"{price_id} has no cache that lasts for an hour: each question carries its own documents")
    prices = Prices(first.price("input"), first.price("cache_read"), first.price("cache_write_1h"))
    chunks = _worth_it(prompts, prices)
    if not chunks:
        return Prefix(reason=f"no document is needed by enough of the {len(prompts)} questions to pay its place")
    text = render_prefix(chunks)
    size = estimate_tokens(SYSTEM) + estimate_tokens(text)
    if size * spec.typical < (spec.cache_minimum or 0):
        return Prefix(reason=f"the shared documents have {size} tokens: {price_id} caches from {spec.cache_minimum}")
    longest = max(prompt.tokens for prompt in prompts)
    if further and (upper_bound_tokens(text, spec) + longest * spec.bound + ROOM) > _cliff(further):
        return Prefix(
            reason=f"the shared documents would lift prompts above {_cliff(further):,} tokens, where all is dearer"
        )
    return Prefix(
        text=text,
        chunks=chunks,
        documents=tuple(dict.fromkeys(chunk.document_id for chunk in chunks)),
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        tokens=estimate_tokens(text),
        marked=True,
        ttl="1h",
        reason=f"{len(chunks)} chunks are shared by the {len(prompts)} questions of the batch",
    )


def needed_by(prices: Prices, questions: int) -> Fraction:
    """The share of questions above which a chunk is cheaper in the prefix than in each prompt that needs it."""
    further = questions - 1
    misses = 1 + further * (1 - HIT_SHARE)
    return (misses * prices.write + further * HIT_SHARE * prices.read) / (questions * prices.plain)


def _worth_it(prompts: Sequence[Prompt], prices: Prices) -> tuple[Chunk, ...]:
    """In an order that depends on nothing but the chunks and how often they are needed."""
    found = Counter(chunk.id for prompt in prompts for chunk in prompt.selected)
    chunks = {chunk.id: chunk for prompt in prompts for chunk in prompt.selected}
    least = needed_by(prices, len(prompts)) * len(prompts)
    popular = sorted((id_ for id_, count in found.items() if count > least), key=lambda id_: (-found[id_], id_))
    return tuple(chunks[id_] for id_ in popular[:MOST_CHUNKS])


def _cliff(bands: Sequence[Band]) -> int:
    return min(band.above for band in bands)


def for_an_hour(prefix: Prefix) -> Prefix:
    """A prefix of the live lane in a batch: it lasts as long as the batch may need it."""
    return replace(prefix, ttl="1h") if prefix.marked else prefix
