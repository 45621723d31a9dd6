"""Prices one call with ragkit and with LiteLLM in one run: microseconds a call, and the amounts side by side.

`make bench` has LiteLLM beside it; where it is absent `python bench/price.py` measures ragkit alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from statistics import median
from typing import Any

from figures import Figure, keep

from ragkit.models import Catalogue
from ragkit.money import to_usd
from ragkit.nouns import Lane, Usage

AT = datetime(2026, 11, 24, tzinfo=UTC)
ROUNDS, CALLS = 7, 2000
CASES: tuple[tuple[str, Lane, Usage, str], ...] = (
    ("claude-haiku-5-5", "standard", Usage(input=2_000, output=300), ""),
    ("claude-haiku-5-5", "standard", Usage(input=1_500, cache_read=20_000, output=300), ""),
    ("claude-haiku-5-5", "standard", Usage(input=100_000, output=1_000), ""),
    ("claude-haiku-5-5", "standard", Usage(input=1, cache_read=60_000, cache_write_5m=40_000, output=1_000), ""),
    ("claude-sonnet-5-5", "standard", Usage(input=100, cache_write_5m=700, cache_read=200, output=50), ""),
    ("claude-sonnet-5-5", "standard", Usage(input=100, cache_write_1h=10_000, output=500), ""),
    (
        "claude-sonnet-5-5",
        "batch",
        Usage(input=1_000, cache_write_1h=10_000, output=500),
        "no price for an hour's write in a batch there",
    ),
    ("claude-sonnet-5-5", "batch", Usage(input=1_000, cache_read=10_000, output=500), ""),
    ("claude-opus-5-5", "standard", Usage(input=2_500, cache_read=20_000, output=400), ""),
    ("claude-opus-4-7", "standard", Usage(input=2_500, cache_write_5m=20_000, output=400), ""),
    ("claude-haiku-4-5", "batch", Usage(input=2_500, cache_write_5m=5_000, output=400), ""),
    ("gpt-6-luna", "standard", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("gpt-6-sol", "standard", Usage(input=2_000, cache_write_30m=4_000, output=300), ""),
    ("gpt-6-sol", "standard", Usage(input=272_001, output=300), ""),
    ("gpt-6-sol", "batch", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("gpt-6.1-terra", "flex", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("gpt-5.5", "priority", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("gemini-2.5-pro", "standard", Usage(input=200_001, cache_read=1_000, output=500), ""),
    ("gemini-3.8-flash", "standard", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("gemini-4-argon", "standard", Usage(input=2_000, cache_read=4_000, output=300), ""),
    ("text-embedding-3-small", "standard", Usage(input=12_345), ""),
    ("rerank-v5.0-pro", "standard", Usage(input=25_000), "a rerank is priced by searches only there"),
    ("rerank-v4.0-pro", "standard", Usage(searches=1), ""),
)
KINDS = {"generate": "completion", "embed": "embedding", "rerank": "rerank"}
Price = Callable[[], Decimal]


def main() -> None:
    catalogue = Catalogue.load()
    prepare = _litellm(catalogue) if find_spec("litellm") else None
    print(f"{'model':24} {'lane':9} {'ragkit us':>9} {'litellm us':>10}  {'ragkit $':>14} {'litellm $':>14}")
    ours_us, theirs_us = [], []
    for case in CASES:
        amount, seconds = _measure(_ragkit(catalogue, *case), CALLS)
        ours_us.append(seconds)
        line = f"{case[0]:24} {case[1]:9} {seconds:9.2f}"
        if prepare is None:
            print(f"{line} {'':>10}  {amount:>14f}")
            continue
        other, seconds = _measure(prepare(*case), CALLS // 10)
        theirs_us.append(seconds)
        verdict = "" if other == amount else f"  {other / amount:.3f}x: {case[3] or 'unexplained'}"
        print(f"{line} {seconds:10.1f}  {amount:>14f} {other:>14f}{verdict}")
    print(f"ragkit: median {median(ours_us):.2f} us, slowest {max(ours_us):.2f} us a call (bar: 20)")
    peers = {"LiteLLM": median(theirs_us)} if theirs_us else {}
    keep(Figure("price of a call, median", "us", median(ours_us), "less", peers, bar=20))
    if theirs_us:
        print(f"litellm: median {median(theirs_us):.1f} us; {median(theirs_us) / median(ours_us):.0f} times ragkit's")


def _ragkit(catalogue: Catalogue, model: str, lane: Lane, usage: Usage, _: str) -> Price:
    return lambda: to_usd(catalogue.cost(usage, model, at=AT, lane=lane).pico)


def _measure(price: Price, calls: int) -> tuple[Decimal, float]:
    """The amount, and the best round's microseconds a call."""
    amount, best = price(), float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls):
            price()
        best = min(best, (time.perf_counter() - began) / calls * 1e6)
    return amount, best


def _litellm(catalogue: Catalogue) -> Callable[[str, Lane, Usage, str], Price]:
    """litellm's calculator on the same usage, in its own convention: the prompt includes cached tokens."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm
    from litellm.cost_calculator import batch_cost_calculator

    def prepare(model: str, lane: Lane, usage: Usage, _: str) -> Price:
        spec, theirs = catalogue.model(model), _their_usage(usage)
        provider, tier = spec.provider, None if lane == "standard" else lane
        units = {"search_units": usage.searches, "total_tokens": usage.input} if spec.kind == "rerank" else None

        def price() -> Decimal:
            if lane == "batch":
                parts = batch_cost_calculator(theirs, model, provider)
            else:
                parts = litellm.cost_per_token(
                    model=model,
                    custom_llm_provider=provider,
                    usage_object=theirs,
                    service_tier=tier,
                    call_type=KINDS[spec.kind],
                    rerank_billed_units=units,
                )
            return sum((Decimal(repr(part)) for part in parts), Decimal(0)).quantize(Decimal("1e-12"))

        return price

    return prepare


def _their_usage(usage: Usage) -> Any:
    from litellm.types.utils import CacheCreationTokenDetails, PromptTokensDetailsWrapper
    from litellm.types.utils import Usage as TheirUsage

    details = PromptTokensDetailsWrapper(cached_tokens=usage.cache_read)
    extra = {}
    if usage.cache_written:
        details.cache_creation_tokens = usage.cache_written
        details.cache_creation_token_details = CacheCreationTokenDetails(
            ephemeral_5m_input_tokens=usage.cache_write_5m, ephemeral_1h_input_tokens=usage.cache_write_1h
        )
        extra["cache_creation_input_tokens"] = usage.cache_written
    return TheirUsage(
        prompt_tokens=usage.prompt,
        completion_tokens=usage.output,
        total_tokens=usage.prompt + usage.output,
        prompt_tokens_details=details,
        cache_read_input_tokens=usage.cache_read,
        **extra,
    )


if __name__ == "__main__":
    main()
