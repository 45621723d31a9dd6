"""What a ledger shows of routed questions, and what people and checks said of their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ragkit.bill import SIMULATED
from ragkit.nouns import Event, Receipt, Tier
from ragkit.route import gain_in
from ragkit.routing.tiers import Rung

RUNG_OF: Mapping[Tier | None, Rung] = {"local": "small", "small": "small", "medium": "medium", "large": "large"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a model answered: its score, the tier that was asked first, and what that answer cost."""

    receipt: str
    score: float
    rung: Rung
    pico: int | None


@dataclass(frozen=True, slots=True)
class Rating:
    """Whether a tier was right on a question of this score, as somebody said or the check of the answer showed."""

    receipt: str
    score: float
    rung: Rung
    right: bool


def read_ratings(receipts: Iterable[Receipt], said: Mapping[str, int]) -> tuple[list[Asked], list[Rating]]:
    """What was asked of models, and what is known of their answers; `said` has what people rated last, by receipt.

    An escalated question counts against the tier that failed its check, and a rating for the tier that answered.
    """
    asked: list[Asked] = []
    ratings: list[Rating] = []
    for receipt in receipts:
        calls = [(RUNG_OF[it.tier], it) for it in receipt.events if it.kind == "generate" and it.tier in RUNG_OF]
        score = None if _classified(receipt) or not calls else gain_in(calls[0][1].reason)
        if score is None:
            continue
        (first, _), (last, answered) = calls[0], calls[-1]
        costs = [event.cost_pico for rung, event in calls if rung == first]
        pico = None if None in costs else sum(cost or 0 for cost in costs)
        asked.append(Asked(receipt.id, score, first, pico))
        if first != last and _escalated(answered):
            ratings.append(Rating(receipt.id, score, first, right=False))
        if receipt.id in said:
            ratings.append(Rating(receipt.id, score, last, right=said[receipt.id] > 0))
    return asked, ratings


def _escalated(event: Event) -> bool:
    """Receipts keep of an escalation only the words that the router gives as its reason."""
    return event.reason.removeprefix(SIMULATED).startswith("escalated")


def _classified(receipt: Receipt) -> bool:
    """A model's opinion is on another scale than the router's score."""
    return any(event.kind == "classify" for event in receipt.events)
