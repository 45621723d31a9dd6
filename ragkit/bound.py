"""The most that a question can plausibly cost, before anything is sent: what a budget must hold for it.

Every prompt token is taken at the dearest class it can fall into, cold cache writes included, at the dearest band of
length that the prompt can reach, and every answer at its full length. Token counts that come in are upper bounds
themselves (`ragkit.tokens.upper_bound_tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ragkit.models import Catalogue
from ragkit.nouns import CacheTtl, Lane, Usage
from ragkit.prices.pricing import Band, band_cost

HIDDEN_TOKENS = 400
"""What providers add to a prompt: turns' frames, and the instructions that enforce a schema."""
COMPLAINT_TOKENS = 400
"""What a repair adds to a prompt beside the failed answer: what was wrong with it."""
SEARCH_DOCUMENTS = 100
SEARCH_DOCUMENT_TOKENS = 500
"""A search unit is one question over this many documents; a longer document counts as several."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to a generator, in upper bounds of its own tokens; None as `price_id` is free local work.

    `prefix` is everything up to the cache mark, instructions and schema too, and `ttl` the mark's lifetime; without a
    mark all is `input`. `unasked` is for gateways that may write a prompt to a cache though nobody asked.
    """

    price_id: str | None
    input: int
    max_output: int
    prefix: int = 0
    ttl: CacheTtl | None = None
    lane: Lane = "standard"
    region: str | None = None
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """A billed step beside the answer, such as an embedding, a rerank or a classification, at its largest usage."""

    price_id: str | None
    usage: Usage
    lane: Lane = "standard"
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a question may lead to: `calls` are the permitted models, `sides` what is billed beside them.

    Each may be tried `attempts` times, and an attempt that times out may have been billed in full. A repair may follow
    with each of the models again.
    """

    calls: tuple[Call, ...]
    sides: tuple[Side, ...] = ()
    attempts: int = 1
    repairs: int = 0


def worst_case(plan: Plan, catalogue: Catalogue, at: datetime) -> int:
    """The whole question in pico-dollars. Raises `UnpricedModel` where a part of it has no price."""
    rounds = (_repaired(call, number) for number in range(plan.repairs + 1) for call in plan.calls)
    generated = sum(worst_call(call, catalogue, at) for call in rounds)
    beside = sum(
        catalogue.cost(side.usage, side.price_id, at=at, lane=side.lane, region=side.region).pico for side in plan.sides
    )
    return plan.attempts * (generated + beside)


def worst_call(call: Call, catalogue: Catalogue, at: datetime) -> int:
    """One attempt of one call."""
    if call.price_id is None:
        return 0
    return max(band_cost(usage, band) for usage, band in _reachable(call, call.price_id, catalogue, at))


def largest_output(call: Call, left_pico: int, catalogue: Catalogue, at: datetime) -> int:
    """The longest answer, at most `max_output`, with which the call still fits what is left; 0 where none does."""
    if call.price_id is None:
        return call.max_output
    longest = call.max_output
    for usage, band in _reachable(call, call.price_id, catalogue, at):
        price = band_cost(Usage(output=1), band)
        left = left_pico - band_cost(replace(usage, output=0), band)
        fits = left // price if price else call.max_output
        longest = min(longest, fits if left >= 0 else 0)
    return longest


def rerank_usage(price_id: str, question: int, documents: Sequence[int], catalogue: Catalogue, at: datetime) -> Usage:
    """What reranking documents of so many tokens is billed: search units, or all tokens with the question in each."""
    if catalogue.bands(price_id, at=at)[0].price("search") > 0:
        return Usage(searches=search_units(question, documents))
    return Usage(input=sum(documents) + question * len(documents))


def search_units(question: int, documents: Sequence[int]) -> int:
    """At least one: a reranker that reports no units has still searched."""
    parts = sum(max(1, -(-(tokens + question) // SEARCH_DOCUMENT_TOKENS)) for tokens in documents)
    return max(1, -(-parts // SEARCH_DOCUMENTS))


def _repaired(call: Call, number: int) -> Call:
    """The call of a repair: the failed answers and the complaints about them are in its prompt."""
    return replace(call, input=call.input + number * (call.max_output + COMPLAINT_TOKENS))


def _reachable(call: Call, price_id: str, catalogue: Catalogue, at: datetime) -> Iterator[tuple[Usage, Band]]:
    """The dearest usage of a call in each band that its prompt can reach."""
    head, tail = call.prefix + HIDDEN_TOKENS, call.input
    for band in catalogue.bands(price_id, at=at, lane=call.lane, region=call.region):
        if band.above and head + tail <= band.above:
            continue
        marked = _dearest(band, call.ttl or ("30m" if call.unasked else None))
        plain = _dearest(band, "30m" if call.unasked else None)
        prompt = {marked: head + tail} if marked == plain else {marked: head, plain: tail}
        yield Usage(**prompt, output=call.max_output), band


def _dearest(band: Band, ttl: CacheTtl | None) -> str:
    """The dearer of plain input and a cache write."""
    write = f"cache_write_{ttl}"
    return write if ttl is not None and band.price(write) > band.price("input") else "input"
