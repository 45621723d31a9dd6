"""From a question and its evidence to the model that answers it, with the reason in words.

A question needs a tier: that is a floor. Among the models at or above it the one with the lowest expected cost is
asked, so that what a provider has cached may raise a tier and never lowers one. Pure: no clock, no file, no memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragkit.errors import NoRoute, UnpricedModel
from ragkit.money import format_usd
from ragkit.nouns import Effort, Model, Pressure, Route, Tier
from ragkit.routing.complexity import FLOORS, Complexity
from ragkit.routing.cost import Load, Market, Warmth, expected_pico
from ragkit.routing.tiers import EXTRACTIVE

RANKS: tuple[Tier, ...] = ("cache", "extractive", "local", "small", "medium", "large")
SURE = 0.95
"""A copied answer is right this often, or another model is asked."""
LOWER: dict[Tier, Effort] = {"local": "none", "small": "none", "medium": "low", "large": "medium"}
"""The most thinking that is bought for a question which needs only this tier."""
EFFORTS: tuple[Effort, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
GAIN = "a strong model gains"
GAINED = re.compile(rf"\({GAIN} (-?\d+\.\d+)\)")
SHOWN_PICO = 10**6
"""Reasons show expected costs to a millionth of a dollar."""


@dataclass(frozen=True, slots=True)
class Session:
    """What earlier questions of a conversation were answered by, and what switching away from it has cost.

    `stayed_pico` is what the conversation would have cost without any switch, `switched_pico` what was paid beyond it.
    """

    model: str = ""
    stayed_pico: int = 0
    switched_pico: int = 0


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a question when its model is chosen; never the text of a chunk.

    `copied` is the chance that copied sentences contain the answer. `wanted` is a tier or a model that the caller asks
    for. `warmth` tells what providers have cached.
    """

    complexity: Complexity = Complexity()
    copied: float = 0.0
    pressure: Pressure = "none"
    wanted: str = ""
    load: Load = Load()
    warmth: tuple[Warmth, ...] = ()
    session: Session = Session()


@dataclass(frozen=True, slots=True)
class Policy:
    """From which score on a question needs a tier, and how much of a conversation's bill may go into switching.

    Where routing is not `enabled` the best model answers whatever is not copied.
    """

    medium: float = FLOORS[0]
    large: float = FLOORS[1]
    switching: float = 0.1
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that could answer, and what that is expected to cost; None where it has no price.

    `alone_pico` is what it would cost if no other question shared what has to be written to a cache.
    """

    model: Model
    pico: int | None
    alone_pico: int = 0
    warm: float = 0.0

    def __str__(self) -> str:
        effort = f" at {self.model.effort} effort" if self.model.effort not in (None, "none") else ""
        warm = f" with a prefix that is warm to {self.warm:.0%}" if self.warm else ""
        return f"{self.model.id}{effort}{warm}: {_usd(self.pico)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """A route with everything that was weighed for it."""

    route: Route
    needed: Tier
    offers: tuple[Offer, ...] = ()


def choose(models: Sequence[Model], signals: Signals, market: Market, policy: Policy = Policy()) -> Route:
    """The model that answers, and those that stand by in case it fails."""
    return decide(models, signals, market, policy).route


def decide(models: Sequence[Model], signals: Signals, market: Market, policy: Policy = Policy()) -> Decision:
    """As `choose`, with what was weighed. `models` are those permitted, cheapest tier first, at least one.

    Raises `NoRoute` where the caller wants what is not permitted, or no model has a price.
    """
    allowed = _affordable(models, signals.pressure)
    tight = f"; the budget is tight ({signals.pressure})" if allowed != list(models) else ""
    if signals.wanted:
        return _as_wanted(models, allowed, signals, market, tight)
    writers = [model for model in allowed if model.tier != "extractive"]
    copying = [model for model in allowed if model.tier == "extractive"]
    if copying and (not writers or signals.copied >= SURE):
        return Decision(_copied(copying[0], writers, signals.copied, tight), "extractive")
    needed = needs(signals.complexity.score, policy)
    why = _why(signals.complexity, needed, policy) + tight
    if copying and signals.copied:
        why = f"copied sentences contain the answer with only {signals.copied:.0%}; {why}"
    return _cheapest(writers, needed, why, signals, market, policy)


def _why(complexity: Complexity, needed: Tier, policy: Policy) -> str:
    if not policy.enabled:
        return "routing is switched off: [routing] enabled is false"
    least = "any model" if needed == "local" else f"a {needed} model"
    return f"{complexity.reason} ({GAIN} {complexity.score:.3f}): {least} is good enough"


def gain_in(reason: str) -> float | None:
    """The score in the reason of a route, as receipts keep it; None where the score decided nothing."""
    found = GAINED.search(reason)
    return None if found is None else float(found[1])


def rank(model: Model) -> int:
    """The place of a model's tier among all tiers."""
    return RANKS.index(model.tier)


def needs(score: float, policy: Policy) -> Tier:
    """The least tier that is good enough."""
    if not policy.enabled:
        return "large"
    if score >= policy.large:
        return "large"
    return "medium" if score >= policy.medium else "local"


def _affordable(models: Sequence[Model], pressure: Pressure) -> list[Model]:
    """Budgets under pressure allow only the cheapest paid model, then only free ones; copying always is one."""
    free = [model for model in models if model.price_id is None]
    paid = [model for model in models if model.price_id is not None]
    return {"lower": [*free, *paid[:1]], "free": free or [EXTRACTIVE]}.get(pressure, list(models))


def _copied(model: Model, writers: Sequence[Model], copied: float, tight: str) -> Route:
    if copied >= SURE:
        why = f"copied sentences contain the answer with {copied:.0%}"
        return Route(model, copied, why, tuple(writers), expected_pico=0)
    return Route(model, copied, f"no other model is permitted: sentences are copied{tight}", expected_pico=0)


def _as_wanted(
    models: Sequence[Model], allowed: Sequence[Model], signals: Signals, market: Market, tight: str
) -> Decision:
    """What the caller asks for, or under a tight budget the best that is left."""
    wanted = signals.wanted
    asked = [model for model in models if wanted in (model.id, model.tier, f"{model.provider}/{model.id}")]
    if not asked:
        known = ", ".join(dict.fromkeys(name for model in models for name in (model.tier, model.id)))
        raise NoRoute(f"'{wanted}' is not among the permitted models: ask for one of {known}")
    if asked[0] in allowed:
        why = f"asked for: {wanted}"
        chosen = asked[0]
    else:
        chosen, why = allowed[-1], f"asked for: {wanted}, but not permitted{tight}"
    offer = _offer(chosen, signals, market)
    route = Route(chosen, signals.complexity.score, f"{why}; expected {offer}", expected_pico=offer.pico)
    return Decision(route, chosen.tier, (offer,))


def _cheapest(
    writers: Sequence[Model], needed: Tier, why: str, signals: Signals, market: Market, policy: Policy
) -> Decision:
    """The lowest expected cost among the models that are good enough, else the best model there is."""
    enough = [model for model in writers if rank(model) >= RANKS.index(needed)]
    if not enough:
        enough, why = [max(writers, key=rank)], f"{why}, but there is none"
    offers = [_offer(variant, signals, market) for model in enough for variant in _variants(model, needed, signals)]
    priced = sorted((offer for offer in offers if offer.pico is not None), key=_order)
    if not priced:
        raise NoRoute(f"no model that may answer has a price: add {enough[0].id} to a file named by [prices] file")
    best, kept = _sticky(priced, signals, policy)
    others = [offer for offer in priced if offer.model.id != best.model.id]
    standby = _once([offer.model for offer in others] + [model for model in reversed(writers) if model not in enough])
    reason = f"{why}; expected {best}{kept}{_compared(others)}{_skipped(offers)}"
    route = Route(best.model, signals.complexity.score, reason, standby, expected_pico=best.pico)
    return Decision(route, needed, tuple(offers))


def _variants(model: Model, needed: Tier, signals: Signals) -> tuple[Model, ...]:
    """The model, thinking less than its tier has it where the question needs only a lower tier.

    Another effort is another entry in a provider's cache: where that has something of the model, both are weighed.
    """
    lower = LOWER[needed]
    if model.effort is None or EFFORTS.index(lower) >= EFFORTS.index(model.effort):
        return (model,)
    less = replace(model, effort=lower)
    return (less, model) if any(it.model == model.id for it in signals.warmth) else (less,)


def _offer(model: Model, signals: Signals, market: Market) -> Offer:
    warmth = next((it for it in signals.warmth if (it.model, it.effort) == (model.id, model.effort)), None)
    try:
        pico = expected_pico(model, signals.load, market, warmth)
        alone = pico if warmth is None else expected_pico(model, signals.load, market, replace(warmth, uses=1.0))
    except UnpricedModel:
        return Offer(model, None)
    return Offer(model, pico, alone, warmth.warm if warmth else 0.0)


def _order(offer: Offer) -> tuple[int, int]:
    """Cheapest first; among equals the lower tier."""
    return offer.pico or 0, rank(offer.model)


def _sticky(priced: Sequence[Offer], signals: Signals, policy: Policy) -> tuple[Offer, str]:
    """The cheapest offer, unless switching to it now would take more of a conversation's bill than is allowed.

    `priced` are all good enough, so a conversation that needs a higher tier always gets it.
    """
    best, session = priced[0], signals.session
    incumbent = _offered(session.model, priced)
    if incumbent is None or incumbent.model.id == best.model.id:
        return best, ""
    room = policy.switching * (session.stayed_pico + incumbent.alone_pico) - session.switched_pico
    if best.alone_pico - incumbent.alone_pico > max(0, room):
        return incumbent, ", which the conversation stays with"
    return best, ""


def follow(session: Session, decision: Decision) -> Session:
    """The conversation after a question; an escalation to a better tier is no switch that must be paid back."""
    chosen = _offered(decision.route.model.id, decision.offers)
    if chosen is None:
        return session
    incumbent = _offered(session.model, decision.offers) or chosen
    extra = max(0, chosen.alone_pico - incumbent.alone_pico)
    return Session(chosen.model.id, session.stayed_pico + incumbent.alone_pico, session.switched_pico + extra)


def _offered(model: str, offers: Sequence[Offer]) -> Offer | None:
    """The cheapest offer of a model."""
    found = [offer for offer in offers if offer.model.id == model and offer.pico is not None]
    return min(found, key=_order, default=None)


def _once(models: Sequence[Model]) -> tuple[Model, ...]:
    return tuple({model.id: model for model in models}.values())


def _compared(others: Sequence[Offer]) -> str:
    return f"; next is {others[0]}" if others else ""


def _skipped(offers: Sequence[Offer]) -> str:
    unpriced = list(dict.fromkeys(offer.model.id for offer in offers if offer.pico is None))
    return f"; not considered without a price: {', '.join(unpriced)}" if unpriced else ""


def _usd(pico: int | None) -> str:
    return "no price" if pico is None else f"${format_usd(round(pico / SHOWN_PICO) * SHOWN_PICO)}"
