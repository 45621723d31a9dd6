"""What the recorded questions would have cost otherwise: other models, fewer chunks, another cache lifetime, no cache.

The ledger's receipts are replayed in their order. Tokens are those that were billed, rescaled between tokenizers and
with the number of chunks; the result is an estimate and says so. Answers that were free stay free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ragkit.bill import SIMULATED, is_question
from ragkit.errors import ConfigError, UnpricedModel
from ragkit.models import Catalogue, ModelSpec
from ragkit.money import format_usd
from ragkit.nouns import CacheTtl, Event, Receipt, Usage

PAID = ("generate", "repair", "warm")
LIFETIMES: dict[CacheTtl, timedelta] = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "12h": timedelta(hours=12),
}


@dataclass(frozen=True, slots=True)
class Change:
    """What would be different. `models` maps an old model to a new one, `*` all of them; `k` caps the chunks sent."""

    models: Mapping[str, str] = field(default_factory=dict)
    k: int | None = None
    ttl: CacheTtl | None = None
    cache: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both totals in pico-dollars. `unknown` events had no known cost and count in neither.

    `simulated_pico` of what it did cost is nobody's money.
    """

    questions: int
    events: int
    changed: int
    unknown: int
    actual_pico: int
    changed_pico: int
    simulated_pico: int = 0


class Replay:
    """Reprices events one after the other; it remembers which prefixes would be warm."""

    def __init__(self, catalogue: Catalogue, change: Change) -> None:
        self._catalogue = catalogue
        self._change = change
        self._specs: dict[str, ModelSpec] = {}
        self._warm: dict[tuple[str, str, str], datetime] = {}

    def cost(self, event: Event, at: datetime, tenant: str) -> int | None:
        """What an event would have cost; None where nothing about it changes."""
        old = event.price_row.partition("@")[0]
        if event.kind not in PAID or not old:
            return None
        if event.kind == "warm" and not self._change.cache:
            return 0
        new = self._model(event.model, old)
        usage = self._fewer_chunks(event, self._spec(old))
        usage = _rescaled(usage, self._spec(old), self._spec(new))
        usage = self._cached(usage, new, event.prefix, at, tenant)
        if usage == event.usage and new == old:
            return None
        return self._catalogue.cost(usage, new, at=at, lane=event.lane).pico

    def _model(self, name: str, price_id: str) -> str:
        models = self._change.models
        new = models.get(name) or models.get(price_id) or models.get("*") or price_id
        return self._spec(new).id

    def _spec(self, name: str) -> ModelSpec:
        if name not in self._specs:
            self._specs[name] = self._catalogue.model(name)
        return self._specs[name]

    def _fewer_chunks(self, event: Event, spec: ModelSpec) -> Usage:
        """Evidence stands after the prefix, so that it is a part of the uncached input."""
        k = self._change.k
        if k is None or not event.chunks or k >= event.chunks:
            return event.usage
        evidence = min(event.usage.input, int(event.evidence * spec.typical))
        return replace(event.usage, input=event.usage.input - evidence * (event.chunks - k) // event.chunks)

    def _cached(self, usage: Usage, model: str, prefix: str, at: datetime, tenant: str) -> Usage:
        """The prefix, read where it would be warm, written where not, or sent like any other input."""
        tokens = usage.cache_read + usage.cache_written
        spec = self._spec(model)
        ttl = self._ttl(usage, spec)
        if not tokens or (self._change.cache and self._change.ttl is None and not self._change.models):
            return usage if self._change.cache else _plain(usage)
        if not self._change.cache or ttl is None or tokens < (spec.cache_minimum or 0):
            return _plain(usage)
        whose = (tenant, model, prefix)
        last = self._warm.get(whose)
        self._warm[whose] = at
        plain = replace(_plain(usage), input=usage.input)
        if last is not None and at - last <= LIFETIMES[ttl]:
            return replace(plain, cache_read=tokens)
        return replace(plain, **{f"cache_write_{ttl}": tokens})

    def _ttl(self, usage: Usage, spec: ModelSpec) -> CacheTtl | None:
        """The lifetime that is asked for, or the one that was used, or the shortest that the model has."""
        used = next((ttl for ttl in LIFETIMES if getattr(usage, f"cache_write_{ttl}")), None)
        wanted = self._change.ttl or used
        if wanted in spec.cache_ttls:
            return wanted
        if self._change.ttl is not None and not self._change.models:
            raise ConfigError(
                f"{spec.id} has no cache that lives {wanted}: it has {', '.join(spec.cache_ttls) or 'none'}"
            )
        return spec.cache_ttls[0] if spec.cache_ttls else None


def replay(receipts: Iterable[Receipt], catalogue: Catalogue, change: Change) -> Outcome:
    """Reprice receipts in the order of their time. Raises `UnpricedModel` for a new model that has no price."""
    again = Replay(catalogue, change)
    questions = events = changed = unknown = actual = other = simulated = 0
    for receipt in receipts:
        questions += is_question(receipt)
        for event in receipt.events:
            events += 1
            if event.cost_pico is None:
                unknown += 1
                continue
            actual += event.cost_pico
            simulated += event.cost_pico if event.reason.startswith(SIMULATED) else 0
            cost = again.cost(event, receipt.at, receipt.account.tenant)
            changed += cost is not None
            other += event.cost_pico if cost is None else cost
    return Outcome(questions, events, changed, unknown, actual, other, simulated)


def parse_models(texts: Iterable[str], catalogue: Catalogue) -> dict[str, str]:
    """`NEW` for all models or `OLD=NEW`, each of them in the price table."""
    models = {}
    for text in texts:
        old, _, new = text.rpartition("=")
        try:
            models[old or "*"] = catalogue.model(new).id
        except UnpricedModel as error:
            raise ConfigError(str(error)) from error
    return models


def parse_ttl(text: str) -> CacheTtl:
    for ttl in LIFETIMES:
        if ttl == text:
            return ttl
    raise ConfigError(f"no cache lives '{text}': write one of {', '.join(LIFETIMES)}")


def outcome_to_json(found: Outcome) -> dict[str, Any]:
    return {
        "questions": found.questions,
        "events": found.events,
        "changed_events": found.changed,
        "unknown_costs": found.unknown,
        "actual_usd": format_usd(found.actual_pico),
        "simulated_usd": format_usd(found.simulated_pico),
        "what_if_usd": format_usd(found.changed_pico),
        "difference_usd": format_usd(found.changed_pico - found.actual_pico),
        "estimated": True,
    }


def _rescaled(usage: Usage, old: ModelSpec, new: ModelSpec) -> Usage:
    """The same text in another model's tokens, rounded up."""
    if old.typical == new.typical:
        return usage
    top, bottom = (new.typical / old.typical).as_integer_ratio()
    counts = {name: -(-getattr(usage, name) * top // bottom) for name in Usage.__slots__ if name != "searches"}
    return replace(usage, **counts)


def _plain(usage: Usage) -> Usage:
    return Usage(usage.prompt, output=usage.output, reasoning=usage.reasoning, searches=usage.searches)
