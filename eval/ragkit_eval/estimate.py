"""What a run will cost, before it starts: a sample is rehearsed on the twin, everything else is scaled by its prompts.

Every question is retrieved, routed and rendered, which costs nothing; a random sample is asked on the twin. The sample
tells how far questions cost more or less than their prompts suggest, and that ratio times all of them is the estimate.
Nothing is sent to a provider. What real tokenizers and answers differ from the twin's is not in the interval, and the
result says so where the run is to be a live one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ragkit.errors import ConfigError
from ragkit.money import format_usd
from ragkit.nouns import Usage
from ragkit.outcome import Ready
from ragkit_eval.cases import Case
from ragkit_eval.loaders import Source, load
from ragkit_eval.ragkit_system import RagkitSystem
from ragkit_eval.reply import System
from ragkit_eval.run import Cell, Place, Progress, opened
from ragkit_eval.sandbox import Library
from ragkit_eval.suite import Suite
from ragkit_eval.twin.fixture import running_twin

REHEARSED = 120
"""Questions of a set-up that are asked on the twin."""
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A set-up's bill with its 95 % interval, in pico-dollars."""

    data: str
    setup: str
    questions: int
    rehearsed: int
    pico: int
    low_pico: int
    high_pico: int


async def estimate_suite(suite: Suite, sources: Iterable[Source], place: Place) -> tuple[Estimate, ...]:
    """Price each set-up of a suite; raises `ConfigError` for what the run would raise it for."""
    cells = [
        Cell(data, setup, seed)
        for seed in suite.seeds
        for data in (load(source, seed) for source in sources)
        for setup in suite.setups
    ]
    library = Library(place.folder / "work" / "estimate")
    found = []
    for number, cell in enumerate(cells):
        found.append(await _estimate(cell, library, place, batch=suite.mode == "batch"))
        place.progress(Progress(number + 1, len(cells), None))
    return tuple(_added(found))


async def _estimate(cell: Cell, library: Library, place: Place, *, batch: bool) -> Estimate:
    with ExitStack() as stack:
        twin = stack.enter_context(running_twin(seed=cell.seed))
        async with opened(cell, library, place.base, twin) as system:
            sizes = [await _size(case, system) for case in cell.data.cases]
            drawn = _draw(sizes, cell.seed)
            costs = [(await system.ask(cell.data.cases[index])).cost_pico for index in drawn]
    if None in costs:
        raise ConfigError(f"set-up '{cell.setup.name}' has steps of unknown price: add them to [prices] file")
    pairs = [(sizes[index], cost or 0) for index, cost in zip(drawn, costs, strict=True)]
    low, mid, high = _scaled(sizes, pairs, cell.seed)
    share = 0.5 if batch else 1.0
    amounts = [round(amount * share) for amount in (mid, low, high)]
    return Estimate(cell.data.name, cell.setup.name, len(sizes), len(drawn), *amounts)


async def _size(case: Case, system: System) -> int:
    """What the question would cost by its estimated tokens and its route; 0 where it costs nothing."""
    if not isinstance(system, RagkitSystem):
        return 1
    made = await system.rag.prepare(system.query(case))
    if not isinstance(made, Ready):
        return 0
    parts, request = system.rag.parts, made.request
    usage = Usage(input=request.prompt.tokens, output=parts.settings.baseline.output_tokens)
    return parts.catalogue.cost(usage, request.model.price_id, at=parts.clock()).pico


def _draw(sizes: Sequence[int], seed: int) -> list[int]:
    """Questions that cost something, drawn at random, in their order."""
    paid = [index for index, size in enumerate(sizes) if size]
    chosen = random.Random(seed).sample(paid, min(REHEARSED, len(paid)))  # noqa: S311
    return sorted(chosen)


def _scaled(sizes: Sequence[int], pairs: Sequence[tuple[int, int]], seed: int) -> tuple[float, float, float]:
    """The ratio estimator and a bootstrap of it."""
    if not pairs:
        return 0.0, 0.0, 0.0
    whole, rng = sum(sizes), random.Random(seed)  # noqa: S311
    drawn = [rng.choices(pairs, k=len(pairs)) for _ in range(DRAWS)]
    ratios = sorted(_ratio(sample) for sample in drawn)
    return whole * ratios[int(0.025 * DRAWS)], whole * _ratio(pairs), whole * ratios[int(0.975 * DRAWS)]


def _ratio(pairs: Sequence[tuple[int, int]]) -> float:
    return fmean(cost for _, cost in pairs) / fmean(size for size, _ in pairs)


def _added(found: Iterable[Estimate]) -> Iterable[Estimate]:
    """Seeds of one set-up together."""
    sums: dict[tuple[str, str], Estimate] = {}
    for each in found:
        before = sums.get((each.data, each.setup))
        sums[each.data, each.setup] = each if before is None else _plus(before, each)
    return sums.values()


def _plus(one: Estimate, other: Estimate) -> Estimate:
    names = ("questions", "rehearsed", "pico", "low_pico", "high_pico")
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in names})


def estimate_to_json(found: Estimate) -> dict[str, Any]:
    return {
        "data": found.data,
        "setup": found.setup,
        "questions": found.questions,
        "rehearsed": found.rehearsed,
        "cost_usd": format_usd(found.pico),
        "low_usd": format_usd(found.low_pico),
        "high_usd": format_usd(found.high_pico),
        "estimated": True,
    }
