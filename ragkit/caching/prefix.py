"""The hot prefix of a question: whether it goes out marked, with which documents, and who writes it.

A prefix in force stays, byte for byte, until other documents are clearly hotter or one of its own changes. A question
that gets none is sent as if there were no caches, with the reason why.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ragkit.bound import HIDDEN_TOKENS
from ragkit.caching.file import CacheFile
from ragkit.caching.line import Kind, Line, Version
from ragkit.caching.lines import Lines
from ragkit.caching.policy import LOCAL, BreakEven, CachePolicy, Choice, Terms, terms_of
from ragkit.caching.refresh_worth import FORGIVEN, LEAST_OUTPUT, TAIL
from ragkit.caching.rent import TERM, pays, rent_of, rented
from ragkit.caching.taken import Taken
from ragkit.caching.versions import Documents, Head, Market, Versions
from ragkit.caching.warming import Warming
from ragkit.hot import held_tokens
from ragkit.models import Catalogue, ModelSpec
from ragkit.nouns import CacheTtl, Chunk, Model, Prefix, Prompt, Query, Schema
from ragkit.prices.pricing import Band
from ragkit.routing.cost import Warmth
from ragkit.settings import CacheSettings
from ragkit.tokens import typical_tokens

ASKED_FOR: dict[str, tuple[CacheTtl, ...]] = {"openai-chat": ("30m",)}
"""The lifetimes that an adapter asks for, where these are not all that its models offer."""
LOCAL_MINIMUM = 256
"""Tokens from which a machine of our own is worth the trouble."""
BREAK_EVEN = BreakEven()
NUMBER = re.compile(r"\d[\d,.]*")
"""Reasons that differ only in their numbers are counted as one."""
CLIFF_RESERVE = 0.2
"""The part of a length band that a prefix leaves to the rest of the prompt."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that has its chunks; `texts` are what its prompt holds beside the prefix."""

    kind: Kind
    chunks: tuple[Chunk, ...]
    texts: tuple[str, ...] = ()


def prefix_kind(query: Query, model: Model, schema: Schema) -> Kind:
    """The questions that this one can share a prefix with; filters are what tells access classes apart."""
    digest = hashlib.sha256(json.dumps(schema.json_schema, sort_keys=True).encode()).hexdigest()[:16]
    return Kind(query.account.tenant, query.filters, model, digest)


def texts_of(prompt: Prompt) -> tuple[str, ...]:
    return (prompt.system, prompt.evidence, prompt.question, *(turn.text for turn in prompt.history))


class Prefixes:
    """All hot prefixes of one process. `clock` gives seconds since 1970."""

    def __init__(
        self,
        catalogue: Catalogue,
        file: CacheFile,
        settings: CacheSettings,
        head: Head,
        clock: Callable[[], float] = time.time,
        policy: CachePolicy = BREAK_EVEN,
    ) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._head = head
        self._clock = clock
        self.policy = policy
        self.kept_warm = False
        """Whether somebody in this process reads prefixes again before their entries end."""
        self._warming = Warming()
        self.lines = Lines(file)
        self._versions = Versions(self.lines, head)

    @asynccontextmanager
    async def taken(self, asked: Asked, store: Documents, corpus: str | None) -> AsyncIterator[Taken]:
        """The prefix for a question, for as long as it is being answered. `corpus` is as `Corpus.version` says."""
        if asked.kind.model.tier == "extractive":
            yield Taken(Prefix(reason="no model is asked"), Line(asked.kind))
            return
        now, line = self._clock(), self.lines.line(asked.kind)
        self.lines.count(line, asked.chunks, now)
        taken = await self._take(line, asked, store, corpus)
        taken.begun = self._clock()
        key = asked.kind.key
        line.marked += taken.prefix.marked
        if not taken.prefix.text:
            line.refused[NUMBER.sub("…", taken.prefix.reason)] += 1
        try:
            yield taken
        finally:
            if taken.writer is not None:
                self._warming.leave(key, taken.writer)
            self.lines.save(line, self._clock())

    def warmth(self, kind: Kind, chunks: Sequence[Chunk]) -> tuple[Warmth, ...]:
        """What is cached or would be written for a question, by every model that was asked questions of its kind."""
        found = (self._warmth(line, chunks) for line in self.lines.loaded() if line.kind.like(kind))
        return tuple(warmth for warmth in found if warmth is not None)

    def rents(self, line: Line) -> bool:
        """Whether a cache that is rented by the hour costs less than one that grows cold between questions."""
        market, _ = self.market(line)
        return any(it.ttl is None and it.seconds == TERM for it in market.offered)

    async def revalidate(self, tenant: str, store: Documents) -> None:
        """Retire at once every prefix that holds what has changed or is gone."""
        await self._versions.revalidate(tenant, store, self._clock())

    def close(self) -> None:
        self.lines.save_all(self._clock())

    async def _take(self, line: Line, asked: Asked, store: Documents, corpus: str | None) -> Taken:
        if not self._settings.prefix:
            return Taken(Prefix(reason="switched off: [cache] prefix is false"), line)
        market, band = self.market(line)
        plain = Taken(Prefix(reason="the model has no prompt cache"), line, band=band)
        if not market.offered:
            return plain
        now = self._clock()
        choice = self.policy.choose(market.offered, line.arrivals)
        version, reason = await self._versions.current(line, market, choice, store, corpus, now)
        reason = reason if version is None else self._too_long(version, asked, market)
        if version is None or reason:
            plain.prefix = Prefix(reason=reason)
            return plain
        return await self._decide(plain, version, asked, market, choice)

    async def _decide(self, plain: Taken, version: Version, asked: Asked, market: Market, choice: Choice) -> Taken:
        """Warm: read it. Cold: write it if that pays and nobody else is doing it."""
        line, now, key = plain.line, self._clock(), asked.kind.key
        terms = next((it for it in market.offered if it.ttl == line.ttl), None)
        if line.warm_until > now and terms is not None:
            return self._use_warm(plain, version, asked, market, terms)
        reason = choice.reason if choice.terms is None else self.policy.objection(line.balance, now)
        if choice.terms is None or reason:
            plain.prefix = Prefix(reason=reason)
            return plain
        if choice.terms.ttl is None:
            return self._use(plain, version, asked, choice.terms, choice.reason)
        writer = self._warming.enter(key)
        if writer is not None:
            taken = self._use(plain, version, asked, choice.terms, f"written: {choice.reason}")
            taken.writer = writer
            return taken
        if await self._warming.wait(key, self._settings.wait) and line.version is version:
            return self._use(plain, version, asked, choice.terms, "read: another question has just written it")
        plain.prefix = Prefix(reason="another question is writing the prefix, and waiting took too long")
        return plain

    def _use_warm(self, plain: Taken, version: Version, asked: Asked, market: Market, terms: Terms) -> Taken:
        line, now = plain.line, self._clock()
        held = held_tokens(version.sizes, {chunk.id for chunk in asked.chunks})
        saved = market.head * (terms.plain - terms.read) + held * terms.plain
        young = now - line.touched < terms.seconds / 2
        if young and terms.ttl is not None and self.policy.skips(version.tokens * terms.read, saved):
            plain.prefix = Prefix(reason="the question needs too little of the prefix to pay for reading it")
            return plain
        left = f"{line.warm_until - now:,.0f} s"
        return self._use(plain, version, asked, terms, f"read: it is warm for another {left}")

    def _use(self, plain: Taken, version: Version, asked: Asked, terms: Terms, reason: str) -> Taken:
        held = held_tokens(version.sizes, {chunk.id for chunk in asked.chunks})
        plain.prefix = Prefix(
            text=version.text,
            chunks=version.chunks,
            documents=version.documents,
            digest=version.digest,
            tokens=version.estimate,
            marked=terms.ttl is not None,
            ttl=terms.ttl,
            reason=reason,
        )
        plain.needless, plain.seconds = version.tokens - held, terms.seconds
        return plain

    def _warmth(self, line: Line, chunks: Sequence[Chunk]) -> Warmth | None:
        version, now = line.version, self._clock()
        if version is None or not self._settings.prefix:
            return None
        market, _ = self.market(line)
        choice, warm = self.policy.choose(market.offered, line.arrivals), line.warm_until > now
        if not warm and (choice.terms is None or self.policy.objection(line.balance, now)):
            return None
        ttl = line.ttl if warm or choice.terms is None else choice.terms.ttl
        held = market.head + held_tokens(version.sizes, {chunk.id for chunk in chunks})
        model, uses = line.kind.model, 1 / max(0.01, 1 - choice.warm)
        return Warmth(model.id, model.effort, float(warm), market.head + version.tokens, ttl, uses, held)

    def market(self, line: Line) -> tuple[Market, Band | None]:
        """What the model's provider offers today."""
        model, longest = line.kind.model, self._settings.max_tokens
        if model.price_id is None:
            head = self._head.estimate(self._head.text)
            return Market((LOCAL,), head, LOCAL_MINIMUM, longest + head, None), None
        spec = self._catalogue.model(model.price_id)
        bands = self._catalogue.bands(spec.id, at=datetime.fromtimestamp(self._clock(), UTC))
        head = typical_tokens(self._head.text, spec)
        cliff = bands[1].above if len(bands) > 1 else (spec.context or 0)
        room = int(cliff * (1 - CLIFF_RESERVE)) if cliff else longest + head
        ttls = tuple(ttl for ttl in spec.cache_ttls if ttl in ASKED_FOR.get(model.provider, spec.cache_ttls))
        offered = terms_of(bands[0], ttls) if spec.cache_minimum is not None else ()
        rent = rent_of(spec.id)
        if self._settings.rent and spec.provider == "gemini" and any(pays(line.arrivals, it, rent) for it in offered):
            offered = tuple(rented(line.arrivals, it, rent) for it in offered)
        if self.kept_warm:
            offered = tuple(self._kept(it, line, head, bands[0]) for it in offered)
        market = Market(offered, head, _least(spec), min(longest + head, room), spec, cliff or None)
        return market, bands[0]

    def _kept(self, terms: Terms, line: Line, head: int, band: Band) -> Terms:
        """With what a refresh costs, spread over the tokens that it reads; unchanged where none may be sent."""
        least, version = LEAST_OUTPUT.get(line.kind.model.provider), line.version
        if terms.ttl is None or least is None or self._clock() - line.lost < FORGIVEN:
            return terms
        beside = TAIL * band.price("input") + least * band.price("output")
        return replace(terms, refresh=terms.read + (beside / (head + version.tokens) if version else 0.0))

    def _too_long(self, version: Version, asked: Asked, market: Market) -> str:
        """A prefix must not move a prompt into a dearer band of length, nor out of the model's window."""
        if market.cliff is None:
            return ""
        with_it = HIDDEN_TOKENS + version.bound + sum(map(market.bound, asked.texts))
        if with_it > market.cliff:
            return f"with the prefix the prompt could exceed {market.cliff:,} tokens, where every token gets dearer"
        return ""


def _least(spec: ModelSpec) -> int:
    """What the provider must count for a mark to have an effect; our own count may err a little."""
    return round((spec.cache_minimum or 0) * 1.15)
