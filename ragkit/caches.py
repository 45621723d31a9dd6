"""The caches around a question: what documents they depend on, answers kept for it, and the prefix of its prompt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime

from ragkit.caching.answers import Answers, Kept, Place, kind_of, normalize, policy_of
from ragkit.caching.file import FILE_NAME, CacheFile
from ragkit.caching.prefix import Asked, Prefixes, prefix_kind, texts_of
from ragkit.caching.refresh_due import Keeping
from ragkit.caching.rent import Renting
from ragkit.caching.semantic import same_question, signature
from ragkit.caching.taken import Taken
from ragkit.caching.versions import Head
from ragkit.checkout import Order
from ragkit.corpus import Corpus
from ragkit.errors import StoreError
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Query, Request
from ragkit.outcome import Outcome, Ready, keep
from ragkit.prompt import PROMPT_VERSION, SYSTEM, cache_key, render, render_prefix
from ragkit.provider import Provider
from ragkit.routing.cost import Warmth
from ragkit.routing.tiers import EXTRACTIVE, Ladder
from ragkit.settings import Settings
from ragkit.store import Store
from ragkit.structured import answer_schema

NO_POLICY = ("tenant", "store", "ingest", "cache", "providers", "retry", "ledger", "prices", "baseline")
"""Settings that say where things are and what they may cost; all others decide what is answered."""


class Caches:
    """Opened on first use; each can be switched off alone."""

    def __init__(self, settings: Settings, catalogue: Catalogue, ladder: Ladder, clock: Callable[[], datetime]) -> None:
        def seconds() -> float:
            return clock().timestamp()

        self._settings = settings.cache
        self._policy = policy_of(PROMPT_VERSION, ladder.models, *_deciding(settings))
        self._file = CacheFile(settings.store.path / FILE_NAME)
        self._answers = Answers(self._file, seconds)
        self._renting = Renting(catalogue, seconds)
        self.corpus = Corpus(shared=settings.store.kind != "edge")
        self.prefixes = Prefixes(catalogue, self._file, settings.cache, Head(SYSTEM, render_prefix), seconds)
        self.keeping = Keeping(self.prefixes, seconds)

    async def place(self, query: Query, store: Store) -> Place | None:
        """Where the answer to a question is kept; None while documents change, or where none are kept."""
        corpus = await self.corpus.version(store, query.account.tenant) if self._settings.answers else None
        if corpus is None:
            return None
        text = normalize(query.text)
        kind = kind_of(query, schema=answer_schema(query.schema).schema.json_schema, policy=self._policy)
        return Place(query.account.tenant, corpus, kind, text, signature(text) if self._settings.semantic else "")

    def recall(self, place: Place | None) -> Kept | None:
        """The answer that was given before."""
        if place is None:
            return None
        return self._answers.get(place, same_question if self._settings.semantic else None)

    async def keep(self, made: Ready, outcome: Outcome, store: Store, order: Order) -> None:
        """Keep an answer that a model has written, unless documents have changed since the question came."""
        place, bought = made.place, outcome.route.model.tier != "extractive" and not outcome.verified.abstained
        if place is not None and bought and place.corpus == await self.corpus.version(store, place.tenant):
            self._answers.put(place, keep(outcome, order.compared))

    def warmth(self, query: Query, chunks: Sequence[Chunk]) -> tuple[Warmth, ...]:
        """What providers have cached for a question like this, for whoever chooses its model."""
        return self.prefixes.warmth(prefix_kind(query, EXTRACTIVE, answer_schema(query.schema).schema), chunks)

    @asynccontextmanager
    async def prefixed(
        self, query: Query, made: Ready, store: Store, order: Order
    ) -> AsyncIterator[tuple[Request, Taken]]:
        """The request behind the hot documents, where they pay for it, for as long as it is under way."""
        request, prompt, tenant = made.request, made.request.prompt, query.account.tenant
        asked = Asked(prefix_kind(query, request.model, request.schema), prompt.selected, texts_of(prompt))
        corpus = await self.corpus.version(store, tenant)
        async with self.prefixes.taken(asked, store, corpus) as taken:
            if taken.prefix.text:
                note = answer_schema(query.schema).note
                prompt = render(query.text, prompt.selected, prefix=taken.prefix, history=query.history, note=note)
                order.rendered(prompt, request.model.tier)
            prompt = replace(prompt, prefix=taken.prefix)
            request = replace(request, prompt=prompt, cache_key=cache_key(tenant, prompt.prefix))
            yield request, taken
            self.keeping.remember(request, taken.line)

    async def rent(self, request: Request, taken: Taken, provider: Provider, order: Order) -> None:
        """Have the provider keep the prefix for longer, where it rents caches and that pays."""
        landlord = getattr(provider, "landlord", None)
        if self._settings.rent and landlord is not None and request.prompt.prefix.text:
            await self._renting.ensure(request, landlord, order, self.prefixes.rents(taken.line))

    @asynccontextmanager
    async def changing(self, tenant: str, store: Callable[[], Awaitable[Store]]) -> AsyncIterator[None]:
        """While a tenant's documents change nothing is kept; then goes what holds one that is not there any more."""
        try:
            with self.corpus.changing(tenant):
                yield
        finally:  # what broke off may have deleted something
            with suppress(StoreError):
                changed = await store()
                await self.prefixes.revalidate(tenant, changed)
                self._answers.forget(tenant, but=await self.corpus.version(changed, tenant))

    def close(self) -> None:
        self.prefixes.close()
        self._file.close()


def _deciding(settings: Settings) -> Iterable[object]:
    return ((name, getattr(settings, name)) for name in Settings.model_fields if name not in NO_POLICY)
