"""What a question brings to the choice of its model: its complexity, size and evidence, and prices of the day."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from functools import lru_cache

from ragkit.evidence import judge
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Model, Pressure, Query, Tier, Turn
from ragkit.outcome import Outcome, Ready
from ragkit.prompt import SYSTEM
from ragkit.route import Decision, Policy, Session, Signals, decide, follow, rank
from ragkit.routing.cascade import Tally, pays, worth_asking
from ragkit.routing.complexity import Complexity, Scorer, assess
from ragkit.routing.cost import Load, Market, Warmth, expected_pico
from ragkit.routing.file import load, packaged
from ragkit.settings import RoutingSettings
from ragkit.tokens import estimate_tokens

FOLLOW_UP = re.compile(
    r"(?i)^(?:and|but|so|then|also|what about|how about|why|really|ok(?:ay)?|yes|no|go on|continue|more|again|do|now)\b"
    r"|\b(?:it|its|this|that|these|those|they|them|their|he|she|him|her|the (?:same|former|latter|other))\b"
)
SHORT_WORDS = 4
"""A question of so few words says little of itself in the middle of a conversation."""
CONVERSATIONS = 1024
"""Conversations whose model is remembered."""
TALLIES = 4096
"""Tenants and tiers whose failures are remembered; who has not asked for longest begins anew."""
SCHEMA_TOKENS = 250
"""What the schema of an answer takes, once it stands in a prompt."""


class Router:
    """Chooses models for one process: what was fitted, what is permitted and what it costs, held together."""

    def __init__(
        self,
        settings: RoutingSettings,
        models: Sequence[Model],
        catalogue: Catalogue,
        regions: Mapping[str, str],
        clock: Callable[[], datetime],
    ) -> None:
        self._models = tuple(models)
        self._catalogue, self._regions, self._clock = catalogue, regions, clock
        self._scorer = scorer_of(settings)
        self._policy = policy_of(settings, self._scorer)
        self._escalating = settings.escalate
        self._tallies: dict[tuple[str, Tier], Tally] = {}
        self.factors: Mapping[str, Fraction] = {}
        self._sessions: dict[str, Session] = {}

    def decide(
        self,
        query: Query,
        chunks: Sequence[Chunk],
        copied: float,
        *,
        pressure: Pressure = "none",
        warmth: Sequence[Warmth] = (),
        hard: Complexity | None = None,
    ) -> Decision:
        """The route of a question whose chunks are known, with everything that was weighed.

        `hard` is its complexity where somebody else has assessed it.
        """
        signals = replace(signals_of(query, chunks, copied, self._scorer), pressure=pressure, warmth=tuple(warmth))
        signals = signals if hard is None else replace(signals, complexity=hard)
        earlier = tuple(turn.text for turn in query.history if turn.role == "user")
        session = self._sessions.get(_talk(query.account.tenant, earlier), Session()) if earlier else Session()
        found = decide(self._models, replace(signals, session=session), self._market(), self._policy)
        self._remember(_talk(query.account.tenant, (*earlier, query.text)), follow(session, found))
        return found

    def escalate(self, made: Ready, outcome: Outcome, query: Query) -> Ready | None:
        """The same question for a better model, where the answer failed its check and asking again should pay.

        Each tenant's own failures decide that. What was asked for by name is left alone: it has no fallbacks.
        """
        first, failed = made.route.model, outcome.verified.abstained
        whose = (query.account.tenant, first.tier)
        tally = self._tallies.pop(whose, Tally())
        self._tallies[whose] = tally.add(failed=failed)
        if len(self._tallies) > TALLIES:
            del self._tallies[next(iter(self._tallies))]
        better = [model for model in made.route.fallbacks if rank(model) > rank(first)]
        if not (failed and better and self._escalating):
            return None
        if not worth_asking(judge(query.text, made.hits).probability, unsupported=bool(outcome.verified.dropped)):
            return None
        market, load = self._market(), Load(made.request.prompt.tokens)
        costs = {model: expected_pico(model, load, market) for model in better}
        second = min(better, key=lambda model: costs[model])
        if not pays(expected_pico(first, load, market), costs[second], tally.failing):
            return None
        reason = f"escalated from {first.id}: {outcome.verified.reason or 'its answer failed the check'}"
        route = replace(made.route, model=second, reason=reason, fallbacks=(), expected_pico=costs[second])
        return replace(made, request=replace(made.request, model=second), route=route)

    def _remember(self, talk: str, session: Session) -> None:
        """The oldest conversation is forgotten."""
        self._sessions[talk] = session
        if len(self._sessions) > CONVERSATIONS:
            del self._sessions[next(iter(self._sessions))]

    def _market(self) -> Market:
        return Market(self._catalogue, self._clock(), regions=self._regions, factors=self.factors)


def _talk(tenant: str, questions: Sequence[str]) -> str:
    """Conversations are told apart by their tenant and all of their questions, of which nothing is kept."""
    return hashlib.sha256(json.dumps([tenant, *questions]).encode()).hexdigest()


def scorer_of(settings: RoutingSettings) -> Scorer:
    """The router that the settings name, else the one in the package."""
    return packaged() if settings.file is None else load(settings.file)


def policy_of(settings: RoutingSettings, scorer: Scorer) -> Policy:
    """Scores in the settings come before those in the router's file."""
    medium, large = (
        fitted if stated is None else stated
        for stated, fitted in zip((settings.medium, settings.large), scorer.floors, strict=True)
    )
    return Policy(medium, large, settings.switching, enabled=settings.enabled)


def signals_of(query: Query, chunks: Sequence[Chunk], copied: float, scorer: Scorer) -> Signals:
    """What is known before a price is; the texts of chunks only count by their length."""
    turns = sum(estimate_tokens(turn.text) for turn in query.history)
    prompt = _fixed_tokens() + estimate_tokens(query.text) + turns + sum(chunk.tokens for chunk in chunks)
    complexity = assess_in(query.text, query.history, scorer)
    return Signals(complexity, copied, wanted=query.model, load=Load(prompt))


def assess_in(question: str, history: Sequence[Turn], scorer: Scorer) -> Complexity:
    """A follow-up is at least as hard as the question that it goes on from: its own words do not tell."""
    own = assess(question, scorer)
    earlier = [turn.text for turn in history if turn.role == "user"]
    if not earlier or not (len(question.split()) <= SHORT_WORDS or FOLLOW_UP.search(question)):
        return own
    before = assess_in(earlier[-1], [Turn("user", text) for text in earlier[:-1]], scorer)
    if before.score <= own.score:
        return own
    return replace(before, reason=f"a follow-up, and before it {before.reason}")


@lru_cache(maxsize=1)
def _fixed_tokens() -> int:
    return estimate_tokens(SYSTEM) + SCHEMA_TOKENS
