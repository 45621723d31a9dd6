"""What a `Ragkit` is made of, built from its settings; whatever is heavy is opened on first use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from ragkit.caches import Caches
from ragkit.calibration import Calibrations
from ragkit.calls.attempt import Policy
from ragkit.calls.retry import Retrying
from ragkit.checkout import Order, Payer
from ragkit.clock import utc_now
from ragkit.compute import Compute, at_once
from ragkit.decide import Decider
from ragkit.deciders import open_decider
from ragkit.embed import Embedder
from ragkit.embedders import make_embedder
from ragkit.errors import RagkitError, WorkerLost
from ragkit.evidence import judge
from ragkit.ledgers import open_ledger
from ragkit.ledgers.sql import SqlLedger
from ragkit.models import Catalogue
from ragkit.nouns import Account, Model, Pressure, Query
from ragkit.provider import Provider
from ragkit.providers.registry import open_provider
from ragkit.rerank import Reranker
from ragkit.rerankers import make_reranker
from ragkit.route import SURE
from ragkit.routing.classify import classify
from ragkit.routing.complexity import Complexity
from ragkit.routing.rate import rate
from ragkit.routing.signals import Router
from ragkit.routing.tiers import Classifier, Ladder, build_ladder, classifier_of
from ragkit.settings import ProvidersSettings, Settings

T = TypeVar("T")


@dataclass(slots=True)
class Parts:
    """Everything but the store, which a question opens and an ingest creates."""

    settings: Settings
    catalogue: Catalogue
    ladder: Ladder
    ledger: SqlLedger
    embedder: Embedder | None
    reranker: Reranker | None
    retrying: Retrying
    router: Router
    classifier: Classifier | None
    caches: Caches
    calibrations: Calibrations
    regions: Mapping[str, str]
    """Where providers compute, for those that charge by it."""
    clock: Callable[[], datetime] = utc_now
    compute: Compute = at_once
    _providers: dict[str, asyncio.Task[Provider]] = field(default_factory=dict)
    _deciders: dict[str, asyncio.Task[Decider]] = field(default_factory=dict)

    @classmethod
    def build(cls, settings: Settings, clock: Callable[[], datetime] = utc_now, compute: Compute = at_once) -> Parts:
        """Raises `ConfigError`, `MissingExtra` or `UnpricedModel` for settings that could never answer.

        Prices, receipts and lifetimes of caches follow the clock, so that a replay can have one of its own.
        """
        prices = settings.prices.file
        catalogue, ledger = Catalogue.of(prices), open_ledger(settings)
        ladder, regions = build_ladder(settings, catalogue, clock()), _regions(settings)
        return cls(
            settings,
            catalogue,
            ladder,
            ledger,
            make_embedder(settings),
            make_reranker(settings, compute),
            Retrying(_policy(settings)),
            Router(settings.routing, ladder.models, catalogue, regions, clock),
            classifier_of(settings, catalogue, clock()),
            Caches(settings, catalogue, ladder, clock),
            Calibrations(catalogue, ledger.counted),
            regions,
            clock,
            compute,
        )

    def free(self) -> Parts:
        """The same without what is billed beside the answer, for estimates."""
        embedder, reranker = self.embedder, self.reranker
        return replace(
            self,
            embedder=None if embedder is None or embedder.price_id else embedder,
            reranker=None if reranker is None or reranker.price_id else reranker,
            classifier=None,
        )

    def payer(self, account: Account, at: datetime, max_cost_pico: int | None = None) -> Payer:
        """Who pays for a question, by the prices and the token counts that are known here."""
        return Payer(self.ledger, self.catalogue, account, at, max_cost_pico, self.regions, self.calibrations)

    async def pressure(self, order: Order) -> Pressure:
        """What the budgets ask of a question; only what is paid for can be under pressure."""
        if not self.ladder.generators:
            return "none"
        await self.calibrations.refresh()
        self.router.factors = self.calibrations.factors
        return await order.pressure()

    async def classified(self, query: Query, copied: float, pressure: Pressure, order: Order) -> Complexity | None:
        """How hard a classifier says a question is, where there is one and the answer could change the route."""
        tight = pressure in ("lower", "free", "refuse")
        if self.classifier is None or query.model or copied >= SURE or tight:
            return None
        model = self.classifier.model
        if self.classifier.decides:
            return await rate(query, model, await self.decider(model.provider), self.retrying, order)
        return await classify(query, model, await self.providers([model]), self.retrying, order)

    async def providers(self, models: Iterable[Model]) -> Mapping[str, Provider]:
        """The adapters of these models; an SDK takes a second to import, so that happens in a thread, once.

        Whoever stops waiting for one leaves it to the others, who ask at the same time.
        """
        names = tuple(dict.fromkeys(model.provider for model in models))
        opening = {name: self._opening(self._providers, name, open_provider) for name in names}
        return {name: await asyncio.shield(task) for name, task in opening.items()}

    async def warm(self) -> None:
        """Load what a first question would wait for; what cannot be had fails the questions that need it, as ever."""
        for model in self.ladder.models:
            with suppress(RagkitError):
                await self.providers([model])
        with suppress(WorkerLost):
            await self.compute(judge, "", ())

    async def decider(self, provider: str) -> Decider:
        """The adapter of a provider's decisions endpoint, as `providers` opens those of generators."""
        return await asyncio.shield(self._opening(self._deciders, provider, open_decider))

    def _opening(
        self, tasks: dict[str, asyncio.Task[T]], name: str, adapter: Callable[[str, ProvidersSettings], T]
    ) -> asyncio.Task[T]:
        if name not in tasks:
            tasks[name] = asyncio.create_task(asyncio.to_thread(adapter, name, self.settings.providers))
        return tasks[name]

    async def aclose(self) -> None:
        self.caches.close()
        opening: list[asyncio.Task[Any]] = [*self._providers.values(), *self._deciders.values()]
        for opened in await asyncio.gather(*opening, return_exceptions=True):
            if not isinstance(opened, BaseException):
                await opened.aclose()
        if self.embedder is not None:
            await self.embedder.aclose()
        if self.reranker is not None:
            await self.reranker.aclose()
        await self.ledger.aclose()


def _regions(settings: Settings) -> Mapping[str, str]:
    sections = {name: getattr(settings.providers, name) for name in ProvidersSettings.model_fields}
    return {name: section.region for name, section in sections.items() if section.region}


def _policy(settings: Settings) -> Policy:
    retry = settings.retry
    return Policy(attempts=retry.attempts, deadline=retry.deadline, timeout=retry.timeout)
