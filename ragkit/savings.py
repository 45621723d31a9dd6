"""What the same question would have cost without any lever, and what each lever took off that.

The way from the baseline to the actual cost is walked one lever at a time, each step priced by the same catalogue; the
differences add up to the whole exactly, whatever their signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

from ragkit.errors import UnpricedModel
from ragkit.models import Catalogue
from ragkit.nouns import Event, Lane, Receipt, Saving, Tier, Usage
from ragkit.tokens import scaled

FREE_LEVERS: dict[Tier, str] = {"cache": "answer cache", "extractive": "extractive", "local": "local"}
"""The levers that replace a paid answer."""
ABSTAINED = "abstained"
"""The lever of questions that were declined for nothing: what was not spent on them bought no cheaper answer."""
UNASKED: dict[str, str] = {**{lever: tier for tier, lever in FREE_LEVERS.items()}, ABSTAINED: ABSTAINED}
"""Who has answered where no model was asked, by the lever that tells it."""
CALLS = ("generate", "repair")
"""Kinds of events in which a model is asked for an answer."""
OVERHEAD = {
    "repair": "repairs",
    "embed": "embedding",
    "rerank": "reranking",
    "classify": "classifier",
    "warm": "warm-up",
    "unresolved": "unresolved",
}
"""What steps beside the answer are called; they are costs, so their savings are negative."""

NOTHING_ANSWERED = ": 0 in, 0 out (estimated)"
"""In the note of a baseline of `Counterfactual.empty`: nobody would have bought an answer."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What a system without levers would have sent: estimates of `ragkit.tokens`, before any tokenizer's factor.

    `fixed` is instructions, history and question; `retrieved` all `k` chunks; `sent` those that went out after the
    prefix; `prefix` the hot documents. `tier` is that of the answer, `output` what the baseline model would write;
    with `abstained` there was no answer.
    """

    price_id: str
    output: int
    k: int
    fixed: int
    retrieved: int
    sent: int
    prefix: int = 0
    tier: Tier = "extractive"
    abstained: bool = False

    @classmethod
    def empty(cls, price_id: str, output: int = 0) -> Counterfactual:
        """Of a question that nothing has been found or sent for; without output, of what nobody would have bought."""
        return cls(price_id, output, k=0, fixed=0, retrieved=0, sent=0)


@dataclass(frozen=True, slots=True)
class Step:
    """An event and what prices it."""

    event: Event
    price_id: str | None
    region: str | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """The counterfactual's price, and a note that holds all it was computed from."""

    pico: int
    note: str


def reprice_baseline(receipt: Receipt, catalogue: Catalogue) -> int | None:
    """A receipt's baseline computed anew from its note alone; None where the note is not of ours."""
    found = re.match(r"(\S+)@\S+: (\d+) in, (\d+) out ", receipt.baseline_note)
    if found is None:
        return None
    usage = Usage(input=int(found[2]), output=int(found[3]))
    return catalogue.cost(usage, found[1], at=receipt.at).pico


class Comparison:
    """The steps of an answer against what the same question would have cost; everything is priced on one day."""

    def __init__(self, what: Counterfactual, steps: Sequence[Step], catalogue: Catalogue, at: datetime) -> None:
        self._what, self._steps, self._catalogue, self._at = what, steps, catalogue, at
        self._answer = _answer_step(steps)
        self._tokens = _Tokens(what, self._answer, catalogue)
        self._whole = self._by_baseline(what.fixed + what.retrieved)
        self._cost = catalogue.cost(self._whole, what.price_id, at=at)

    def baseline(self) -> Baseline:
        """The baseline model with all chunks, no cache, no routing, no batch."""
        levers = f"all {self._what.k} retrieved chunks, no cache, no routing, no batch"
        size = f"{self._whole.input} in, {self._whole.output} out (estimated)"
        return Baseline(self._cost.pico, f"{self._cost.row_id}: {size}, {levers}")

    def savings(self) -> tuple[Saving, ...]:
        """What each lever saved, in the order of the walk, without zeros; adds up to baseline less cost exactly.

        All costs must be known. A question that was declined without a call that cost anything has one lever for all
        that its answer would have cost; the steps beside it keep theirs.
        """
        points = [("", self._cost.pico), *self._walk()]
        walked = [(lever, before - after) for (_, before), (lever, after) in pairwise(points)]
        beside = [(_overhead(it, self._answer), -_known(it.event)) for it in self._steps if it is not self._answer]
        sums: dict[str, int] = {}
        for lever, pico in walked + beside:
            sums[lever] = sums.get(lever, 0) + pico
        return tuple(Saving(lever, pico) for lever, pico in sums.items() if pico)

    def _walk(self) -> Iterator[tuple[str, int]]:
        """The levers from the baseline to the answer, each with the cost after it."""
        what, answer = self._what, self._answer
        if what.abstained and not any(_known(step.event) for step in self._steps if step.event.kind in CALLS):
            yield ABSTAINED, 0
            return
        if what.tier != "cache":
            trimmed = self._by_baseline(what.fixed + what.sent)
            yield "trimming", self._catalogue.cost(trimmed, what.price_id, at=self._at).pico
        if answer is None:
            yield FREE_LEVERS.get(what.tier, "no model call"), 0
        elif answer.price_id is None:
            yield FREE_LEVERS.get(answer.event.tier or what.tier, "local"), _known(answer.event)
        else:
            yield from self._priced_walk(answer.event, answer.price_id)

    def _priced_walk(self, event: Event, price_id: str) -> Iterator[tuple[str, int]]:
        """From the baseline model to the one that answered, then output, prefix, cache, lane and region as they were.

        It begins with what the one that answered would have got without any prefix, and written without any brevity.
        Where a lever has changed nothing there is nothing to be priced anew.
        """
        used, sent = event.usage, self._tokens.of_answer(self._what.fixed + self._what.sent)

        def cost(usage: Usage, lane: Lane = "standard") -> int:
            return self._catalogue.cost(usage, price_id, at=self._at, lane=lane).pico

        yield "routing", cost(Usage(input=sent, output=self._what.output))
        if used.output != self._what.output:
            yield "structured", cost(Usage(input=sent, output=used.output))
        if used.prompt != sent:
            yield "hot prefix", cost(Usage(input=used.prompt, output=used.output))
        yield "caching", cost(used)
        if event.lane != "standard":
            yield event.lane, cost(used, event.lane)
        yield "region", _known(event)

    def _by_baseline(self, estimate: int) -> Usage:
        """So many estimated tokens to the baseline model, and its answer."""
        return Usage(input=self._tokens.of_baseline(estimate), output=self._what.output)


def _answer_step(steps: Sequence[Step]) -> Step | None:
    """The step that made the answer: the last generation; repairs of it are overhead."""
    return next((step for step in reversed(steps) if step.event.kind == "generate"), None)


class _Tokens:
    """Estimates in real tokens: of the model that answered, as the provider has counted, and of the baseline model."""

    def __init__(self, what: Counterfactual, answer: Step | None, catalogue: Catalogue) -> None:
        estimate = what.fixed + what.sent + what.prefix
        counted = answer.event.usage.prompt if answer is not None and answer.price_id is not None else 0
        typical, baseline = _typical(answer, what, catalogue), catalogue.model(what.price_id).typical
        self._answer = Fraction(counted, estimate) if counted and estimate else typical
        self._baseline = self._answer if baseline == typical else self._answer * (baseline / typical)

    def of_answer(self, estimate: int) -> int:
        return scaled(estimate, self._answer)

    def of_baseline(self, estimate: int) -> int:
        return scaled(estimate, self._baseline)


def _typical(answer: Step | None, what: Counterfactual, catalogue: Catalogue) -> Fraction:
    """The factor of the answering model's tokenizer; that of the baseline model where it has none of its own."""
    baseline = catalogue.model(what.price_id).typical
    if answer is None or answer.price_id is None:
        return baseline
    try:
        return catalogue.model(answer.price_id).typical
    except UnpricedModel:
        return baseline


def _overhead(step: Step, answer: Step | None) -> str:
    if step.event.kind != "generate" or answer is None:
        return OVERHEAD.get(step.event.kind, step.event.kind)
    return "retries" if step.event.model == answer.event.model else "escalation"


def _known(event: Event) -> int:
    if event.cost_pico is None:
        raise ValueError("savings are claimed only where every cost is known")
    return event.cost_pico
