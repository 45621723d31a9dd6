"""What a question is expected to cost with a model, cache state and thinking counted: a forecast, pure.

P(warm x read + (1 - warm) x write / uses) + S x input + O x output, for P tokens of prefix, S tokens after it and
O tokens of output with thinking, each by the model's own tokenizer and price of the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from ragkit.models import Catalogue, ModelSpec
from ragkit.nouns import CacheTtl, Effort, Lane, Model, Usage
from ragkit.tokens import scaled

ANSWER_TOKENS = 300
"""What an answer with its quotes takes, where nothing has been learnt yet."""
THINKING_TOKENS: dict[Effort, int] = {
    "none": 0, "minimal": 50, "low": 150, "medium": 500, "high": 1500, "xhigh": 3000, "max": 6000,
}  # fmt: skip
"""What thinking adds to it: an assumption, until `ragkit route fit` has read a ledger."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a provider has cached for questions of this kind, for a model at an effort.

    `warm` is the chance that it is still there, `tokens` what the prefix has in the model's own tokens, `held` those of
    them that this question would need anyway, `uses` the questions that would share a write. Without a `ttl` the
    provider caches by itself.
    """

    model: str
    effort: Effort | None
    warm: float
    tokens: int
    ttl: CacheTtl | None = None
    uses: float = 1.0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Market:
    """Prices of the day. `regions` are those of providers that charge by it, `factors` learnt ones of tokenizers."""

    catalogue: Catalogue
    at: datetime
    lane: Lane = "standard"
    regions: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Load:
    """A question's size: estimated tokens of its prompt without any prefix, and of an answer without thinking.

    `outputs` are learnt: all output tokens of a model, by its id.
    """

    prompt: int = 0
    answer: int = ANSWER_TOKENS
    outputs: Mapping[str, int] = field(default_factory=dict)


def expected_pico(model: Model, load: Load, market: Market, warmth: Warmth | None = None) -> int:
    """Raises `UnpricedModel` for a model without a price: what is unknown is not free."""
    if model.price_id is None:
        return 0
    spec = market.catalogue.model(model.price_id)
    output = min(load.outputs.get(model.id) or load.answer + thinking_tokens(model, spec), model.max_output)
    prompt = scaled(load.prompt, market.factors.get(spec.id, spec.typical))

    def cost(usage: Usage) -> int:
        region = market.regions.get(model.provider)
        return market.catalogue.cost(usage, spec.id, at=market.at, lane=market.lane, region=region).pico

    plain = cost(Usage(input=prompt, output=output))
    if warmth is None or warmth.tokens == 0:
        return plain
    rest = Usage(input=max(0, prompt - warmth.held), output=output)
    read = cost(rest + Usage(cache_read=warmth.tokens))
    write = cost(rest + _written(warmth))
    # A write is shared, what follows it is not.
    shared = cost(rest) + round((write - cost(rest)) / max(1.0, warmth.uses))
    return min(plain, round(warmth.warm * read + (1 - warmth.warm) * shared))


def thinking_tokens(model: Model, spec: ModelSpec) -> int:
    """What the effort adds to an answer; a model that cannot stop thinking thinks a little at least."""
    if spec.thinking == "off" and model.effort is None:
        return 0
    effort: Effort = model.effort or _known(spec.default_effort)
    least: Effort = "none" if spec.lowest_thinking in (None, "disabled") else "low"
    return max(THINKING_TOKENS[effort], THINKING_TOKENS[least])


def _known(name: str | None) -> Effort:
    return next((effort for effort in THINKING_TOKENS if effort == name), "medium")


def _written(warmth: Warmth) -> Usage:
    """A provider that caches by itself charges what it writes as input."""
    return Usage(**{f"cache_write_{warmth.ttl}" if warmth.ttl else "input": warmth.tokens})
