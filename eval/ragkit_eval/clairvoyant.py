"""The cheapest bill that foresight could get for replayed traffic: a bound to hold the real one against.

Known in advance are all arrivals, which chunks will be asked for how often, and which tier is good enough for each
question. For each model and lane the best prefix is found among all that hold the most asked chunks, with as many
writes as its lifetime needs; what is not in it is sent plainly. Evidence and the length of answers are as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression

from ragkit.models import Catalogue
from ragkit.nouns import Lane, Tier
from ragkit.prices.pricing import Band
from ragkit.tokens import estimate_tokens
from ragkit_eval.replay import START, Outcome
from ragkit_eval.workload import Ask

LIFETIMES = {"cache_write_5m": 300.0, "cache_write_1h": 3600.0}
TIERS: Mapping[Tier, str] = {"small": "claude-haiku-5-5", "medium": "claude-sonnet-5-5", "large": "claude-opus-5-5"}
FREE = ("extractive", "cache")
LARGEST_PREFIX = 200
"""Chunks beyond which no prefix is looked at."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """From estimated to billed tokens: `head` stands before everything else, `scale` stretches the rest."""

    head: float
    scale: float

    @classmethod
    def fitted(cls, asks: Sequence[Ask], outcomes: Sequence[Outcome]) -> Sizes:
        """From calls without any prefix. Too few of them leave the estimates as they are."""
        plain = [
            (_estimate(ask, outcome), float(outcome.prompt))
            for ask, outcome in zip(asks, outcomes, strict=True)
            if outcome.prompt and not outcome.in_prefix and not outcome.error
        ]
        if len({size for size, _ in plain}) < 2:
            return cls(0.0, 1.0)
        scale, head = linear_regression([size for size, _ in plain], [prompt for _, prompt in plain])
        return cls(max(0.0, head), scale)


@dataclass(frozen=True, slots=True)
class _Call:
    """A question that asks a model: its chunks and what else it sends, in billed tokens."""

    at: float
    chunks: Mapping[str, float]
    rest: float
    output: float


@dataclass(frozen=True, slots=True)
class Foresight:
    """What the bound is computed from; `local_pico` is a question on the machine of one's own, None without one."""

    sizes: Sizes
    catalogue: Catalogue
    local_pico: int | None
    batching: bool

    def bill(self, asks: Sequence[Ask], outcomes: Sequence[Outcome], *, as_routed: bool = False) -> int:
        """In pico-dollars. `as_routed` takes the tiers as they were chosen, so that only the rest is foreseen."""
        outputs = _outputs(outcomes)
        groups: dict[tuple[str, Lane], list[_Call]] = {}
        total = 0.0
        for ask, outcome in zip(asks, outcomes, strict=True):
            tier = outcome.tier if as_routed else ask.needed
            if outcome.tier in FREE:
                continue
            if self.local_pico is not None and (tier == "local" or (tier == "small" and not as_routed)):
                total += self.local_pico
                continue
            model = TIERS.get(_tier(tier), TIERS["small"])
            lane: Lane = "batch" if self.batching and ask.patient else "standard"
            groups.setdefault((model, lane), []).append(self._call(ask, outcome, outputs.get(tier, outcome.output)))
        for (model, lane), calls in groups.items():
            band = self.catalogue.bands(model, at=START, lane=lane)[0]
            total += _cheapest(calls, self.sizes.head, band, self.catalogue.model(model).cache_minimum or 0)
        return round(total)

    def _call(self, ask: Ask, outcome: Outcome, output: float) -> _Call:
        chunks = {chunk: size * self.sizes.scale for chunk, size in outcome.evidence}
        return _Call(ask.at, chunks, _beside(ask) * self.sizes.scale, output)


def _tier(name: str) -> Tier:
    return "medium" if name == "medium" else "large" if name == "large" else "small"


def _outputs(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """How long the answers of each tier were."""
    lengths: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.output:
            lengths.setdefault(outcome.tier, []).append(outcome.output)
    return {tier: fmean(found) for tier, found in lengths.items()}


def _cheapest(calls: Sequence[_Call], head: float, band: Band, minimum: int) -> float:
    """The calls of one model and lane, with the best prefix or none."""
    plain = sum(head + sum(call.chunks.values()) + call.rest for call in calls) * band.price("input")
    written = sum(call.output for call in calls) * band.price("output")
    asked = Counter(chunk for call in calls for chunk in call.chunks)
    size = {chunk: tokens for call in calls for chunk, tokens in call.chunks.items()}
    prefix, beside, best = head, plain / band.price("input") - head * len(calls), plain
    for chunk in ("", *(name for name, _ in asked.most_common(LARGEST_PREFIX))):
        prefix += size.get(chunk, 0.0)
        beside -= asked[chunk] * size.get(chunk, 0.0)
        if prefix >= minimum:
            best = min(best, _with_prefix(calls, prefix, band) + beside * band.price("input"))
    return best + written


def _with_prefix(calls: Sequence[_Call], prefix: float, band: Band) -> float:
    """What the prefix costs: written when it is cold, read otherwise, by the better lifetime."""
    bills = []
    for kind, seconds in LIFETIMES.items():
        if band.price(kind) >= 0:
            writes = 1 + sum(after.at - before.at > seconds for before, after in pairwise(calls))
            bills.append(writes * band.price(kind) + (len(calls) - writes) * band.price("cache_read"))
    return prefix * min(bills, default=len(calls) * band.price("input"))


def _estimate(ask: Ask, outcome: Outcome) -> float:
    return sum(size for _, size in outcome.evidence) + _beside(ask)


def _beside(ask: Ask) -> float:
    """The question and the conversation before it."""
    return estimate_tokens(ask.case.question) + sum(estimate_tokens(turn.text) for turn in ask.case.history)
