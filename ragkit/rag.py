"""The way of a question to an answer with a receipt: the only file that knows the order of the stages."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.caching.taken import Taken
from ragkit.calls.attempt import Attempt
from ragkit.calls.parts import PATIENCE, RetryingEmbedder, RetryingReranker
from ragkit.checkout import Order, checkout
from ragkit.citation import Rules, verify
from ragkit.clock import StageClock, utc_now
from ragkit.compute import Compute, at_once
from ragkit.config import load_settings
from ragkit.errors import BudgetExceeded, InvalidAnswer, MissingExtra, ProviderError
from ragkit.evidence import judge
from ragkit.generate import Generated, Generation, OnText
from ragkit.index import Index
from ragkit.nouns import Account, Answer, Hit, Pressure, Query, Request, Route, Turn
from ragkit.outcome import EXTRACTIVE_NOTE, Outcome, Ready, abstain, answer_of, repeat, told
from ragkit.parts import Parts
from ragkit.prompt import cache_key, render
from ragkit.providers.extractive import extract
from ragkit.query import make_query
from ragkit.reorder import Reordered, reorder
from ragkit.retrieve import LEXICAL_ONLY, Retrieved, retrieve
from ragkit.routing.tiers import EXTRACTIVE
from ragkit.savings import Counterfactual
from ragkit.select import scarce, select
from ragkit.settings import Settings
from ragkit.store import Reconciliation, Store
from ragkit.streaming import Found, Routed, Saying, Signal, Tell
from ragkit.structured import AnswerSchema, Parsed, answer_schema

if TYPE_CHECKING:
    from ragkit.batches.report import Report
    from ragkit.batches.service import Batches
    from ragkit_ingest.pipeline import IngestOptions
    from ragkit_ingest.report import IngestReport, Progress


class Ragkit:
    """An index and all that answers from it. Open with `Ragkit.open`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._index = Index(parts)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        where: Settings | Path | str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        compute: Compute = at_once,
    ) -> AsyncIterator[Ragkit]:
        """An index by its folder, or by settings; without either, as `ragkit.toml` and the environment say."""
        rag = cls(Parts.build(_settings(where), clock, compute))
        try:
            yield rag
        finally:
            await rag._close()

    async def ask(
        self,
        question: str,
        *,
        k: int | None = None,
        schema: type[Any] | None = None,
        history: Sequence[Turn] = (),
        filters: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> Answer:
        """Answer a question; `schema` is a Pydantic model that `Answer.data` must obey.

        Raises `RagkitError`; one raised after money was spent carries its receipt.
        """
        query = make_query(question, self._settings, k=k, filters=filters, account=account)
        return await self.answer(replace(query, history=tuple(history), schema=schema))

    async def answer(self, query: Query, *, tell: Tell | None = None, purchase: str = "") -> Answer:
        """As `ask`, for all that a query may say; `tell` hears of it meanwhile, `purchase` names receipt and holds."""
        clock, order = StageClock(), self._order(query, purchase=purchase)
        store = await self._index.store()
        async with checkout(order):
            outcome = await self._produce(query, store, order, clock, tell)
            order.concluded(abstained=outcome.verified.abstained)
        return answer_of(outcome, order.receipt, clock.seconds)

    async def stream(self, query: Query | str) -> AsyncGenerator[Signal | Answer, None]:
        """What was found, the route, each statement as soon as its quotes are verified, and last the `Answer`.

        Leaving the iterator early (`aclose`) cancels the question; what it has cost by then is settled.
        """
        query = make_query(query, self._settings) if isinstance(query, str) else query
        signals: asyncio.Queue[Signal | None] = asyncio.Queue()
        task = asyncio.create_task(self.answer(query, tell=signals.put_nowait))
        task.add_done_callback(lambda _: signals.put_nowait(None))
        try:
            while (signal := await signals.get()) is not None:
                yield signal
            yield await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def prepare(self, query: Query) -> Ready | Answer:
        """A question up to its request, for the batch lane; what costs nothing to answer is answered at once."""
        clock, order = StageClock(), self._order(query)
        store = await self._index.store()
        async with checkout(order):
            made = await self._prepare(query, store, order, clock, None)
            if isinstance(made, Ready) and made.route.model.price_id is not None:
                return replace(made, compared=order.hand_over())
            if isinstance(made, Ready):
                made = await self._finish(query, made, store, order, clock, None)
            order.concluded(abstained=made.verified.abstained)
        return answer_of(made, order.receipt, clock.seconds)

    async def preview(self, query: Query) -> Ready | None:
        """As `prepare`, without anything that is billed or written down; None where no call is to be paid for."""
        free, store = Ragkit(self._parts.free()), await self._index.store()
        made = await free._prepare(query, store, self._order(query), StageClock(), None)
        return made if isinstance(made, Ready) and made.route.model.price_id is not None else None

    @property
    def batches(self) -> Batches:
        """The batch lane: half price, answers within a day."""
        from ragkit.batches.service import Batches

        return Batches(self._parts, self)

    async def batch(
        self, questions: Sequence[str], *, schema: type[Any] | None = None, deadline: datetime | None = None
    ) -> Report:
        """Ask many questions at half price; `rag.batches` tells how far they are and collects the answers."""
        return await self.batches.submit(questions, schema=schema, deadline=deadline)

    async def _produce(self, query: Query, store: Store, order: Order, clock: StageClock, tell: Tell | None) -> Outcome:
        """The straight line: answer cache, retrieve, rerank, select, judge, route, render, prefix, generate, verify."""
        made = await self._prepare(query, store, order, clock, tell)
        if not isinstance(made, Ready):
            return made
        outcome = await self._finish(query, made, store, order, clock, tell)
        if (better := self._parts.router.escalate(made, outcome, query)) is not None:
            order.rendered(better.request.prompt, better.route.model.tier)
            _tell(tell, Routed(better.route))
            try:
                made, outcome = better, await self._finish(query, better, store, order, clock, tell)
            except (BudgetExceeded, ProviderError, InvalidAnswer, MissingExtra) as error:
                outcome = replace(outcome, notes=(*outcome.notes, f"no better model could be asked: {error}"))
        await self._parts.caches.keep(made, outcome, store, order)
        return outcome

    async def _prepare(
        self, query: Query, store: Store, order: Order, clock: StageClock, tell: Tell | None
    ) -> Ready | Outcome:
        """Up to the request; the outcome where none is to be sent."""
        settings, answer_as = self._settings, answer_schema(query.schema)
        with clock.stage("cache"):
            place = await self._parts.caches.place(query, store)
            if (kept := self._parts.caches.recall(place)) is not None:
                order.repeated(kept.compared)
                return told(repeat(kept), tell)
        with clock.stage("retrieve"):
            pressure = await self._parts.pressure(order)
            found = await self._retrieve(query, store, order)
        with clock.stage("rerank"):
            ranked = await self._rerank(query.text, found.hits, order)
            hits, tight = _select(ranked.hits, settings, pressure)
            notes = (*found.notes, *ranked.notes, *tight)
            _tell(tell, Found(hits))
        with clock.stage("route"):
            evidence = await self._parts.compute(judge, query.text, hits)
            if evidence.weak(settings.answer.minimum_evidence):
                return abstain(hits, evidence, notes)
            chunks = [hit.chunk for hit in hits]
            copied = 0.0 if query.schema else (await self._parts.compute(extract, query.text, chunks)).confidence
            warmth = self._parts.caches.warmth(query, chunks)
            hard = await self._parts.classified(query, copied, pressure, order)
            route = self._parts.router.decide(query, chunks, copied, pressure=pressure, warmth=warmth, hard=hard).route
            if route.model.price_id is not None or (query.schema and route.model == EXTRACTIVE):
                order.check_open()
            _tell(tell, Routed(route))
        with clock.stage("render"):
            prompt = render(query.text, chunks, history=query.history, note=answer_as.note)
            order.rendered(prompt, route.model.tier)
            key = cache_key(query.account.tenant, prompt.prefix)
            request = Request(prompt, route.model, answer_as.schema, settings.answer.max_output, cache_key=key)
        undisturbed = pressure in ("none", "warn") and set(notes) <= {LEXICAL_ONLY}
        return Ready(request, route, hits, notes, place=place if undisturbed else None)

    async def _finish(
        self, query: Query, made: Ready, store: Store, order: Order, clock: StageClock, tell: Tell | None
    ) -> Outcome:
        """From the request to verified citations."""
        rules = Rules(self._settings.answer.unsupported, self._settings.answer.links)
        async with self._parts.caches.prefixed(query, made, store, order) as (request, taken):
            prompt = request.prompt
            said = None if tell is None else taken.hearing(Saying(prompt.citable, rules, tell).hear)
            with clock.stage("generate"):
                generated = await self._generate(request, made.route, answer_schema(query.schema), order, said, taken)
        with clock.stage("verify"):
            verified = verify(generated.value, prompt.citable, rules)
        notes = made.notes if generated.model != EXTRACTIVE else (*made.notes, EXTRACTIVE_NOTE)
        return Outcome(made.hits, verified, made.route, prompt.prefix, notes)

    async def search(
        self,
        question: Query | str,
        *,
        k: int | None = None,
        filters: Mapping[str, str] | None = None,
        account: Account | None = None,
        selected: bool = False,
    ) -> tuple[Hit, ...]:
        """The `k` best hits of all that are reranked; with `selected` those of them an answer would be made from."""
        if isinstance(question, str):
            depth = max(k or 0, self._settings.retrieval.k)
            question = make_query(question, self._settings, k=depth, filters=filters, account=account)
        query = question
        store, order = await self._index.store(), self._order(query, compared=False)
        async with checkout(order):
            found = await self._retrieve(query, store, order)
            ranked = await self._rerank(query.text, found.hits, order)
        kept = _select(ranked.hits, self._settings)[0] if selected else ranked.hits
        return kept[:k]

    async def rerank(self, question: str, hits: Sequence[Hit], *, account: Account | None = None) -> tuple[Hit, ...]:
        """Those of the hits, of whatever origin, that an answer would be made from, best first."""
        query = make_query(question, self._settings, account=account)
        order = self._order(query, compared=False)
        async with checkout(order):
            ranked = await self._rerank(query.text, tuple(hits), order)
        return _select(ranked.hits, self._settings)[0]

    async def ingest(
        self,
        paths: Sequence[str | Path] | str | Path,
        *,
        options: IngestOptions | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
        account: Account | None = None,
    ) -> IngestReport:
        """Bring the index up to date with files and folders; creates it where there is none."""
        from ragkit_ingest.pipeline import IngestOptions

        paths = [paths] if isinstance(paths, str | Path) else paths
        account = account or Account(self._settings.tenant)
        async with self._parts.caches.changing(account.tenant, self._index.store):
            return await self._index.ingest(paths, account, options or IngestOptions(), progress)

    async def remove(self, document_ids: Sequence[str], *, account: Account | None = None) -> int:
        """Delete documents of a tenant; how many of its chunks went."""
        account = account or Account(self._settings.tenant)
        async with self._parts.caches.changing(account.tenant, self._index.store):
            return await (await self._index.store()).remove(account.tenant, document_ids)

    async def store(self) -> Store:
        """The open store, for those who look at documents."""
        return await self._index.store()

    @property
    def parts(self) -> Parts:
        """The ledger, the prices and the settings behind this index."""
        return self._parts

    async def verify(self, *, repair: bool = False) -> Reconciliation:
        """Whether documents and chunks agree; `repair` deletes what no document claims first."""
        return await self._index.verify(repair=repair)

    async def _retrieve(self, query: Query, store: Store, order: Order) -> Retrieved:
        embedder, retrying = self._parts.embedder, self._parts.retrying
        paid = None if embedder is None else RetryingEmbedder(embedder, retrying, order, patience=PATIENCE)
        found = await retrieve(query, store=store, embedder=paid, compute=self._parts.compute)
        order.retrieved(query.text, found.hits)
        return found

    async def _rerank(self, question: str, hits: tuple[Hit, ...], order: Order) -> Reordered:
        reranker, retrying = self._parts.reranker, self._parts.retrying
        paid = None if reranker is None else RetryingReranker(reranker, retrying, order, patience=PATIENCE)
        return await reorder(question, hits, paid)

    async def _generate(
        self,
        request: Request,
        route: Route,
        answer_as: AnswerSchema,
        order: Order,
        on_text: OnText | None,
        taken: Taken,
    ) -> Generated[Parsed]:
        def record(attempt: Attempt) -> None:
            order.record(attempt, models[attempt.model], request.prompt)
            taken.record(attempt)

        models = {model.id: model for model in (route.model, *route.fallbacks)}
        providers = await self._parts.providers(models.values())
        await self._parts.caches.rent(request, taken, providers[request.model.provider], order)
        generation = Generation(providers, self._parts.retrying, self._settings.answer.repairs, order.admit)
        return await generation.run(
            request,
            route,
            validate=lambda completion: answer_as.parse(completion.text),
            record=record,
            on_text=on_text,
        )

    async def _close(self) -> None:
        await self._index.aclose()
        await self._parts.aclose()

    def _order(self, query: Query, *, compared: bool = True, purchase: str = "") -> Order:
        parts, baseline = self._parts, self._settings.baseline
        price_id = parts.catalogue.resolve(baseline.model)
        unseen = Counterfactual.empty(price_id, baseline.output_tokens)
        payer = parts.payer(query.account, parts.clock(), query.max_cost_pico)
        counterfactual = unseen if compared else None
        return Order(payer, purchase or uuid.uuid4().hex, counterfactual, named=bool(purchase))


def _settings(where: Settings | Path | str | None) -> Settings:
    if isinstance(where, Settings):
        return where
    return load_settings(overrides={} if where is None else {"store": {"path": Path(where)}})


def _select(
    hits: Sequence[Hit], settings: Settings, pressure: Pressure = "none"
) -> tuple[tuple[Hit, ...], tuple[str, ...]]:
    """The chunks to answer from, fewer where a budget is nearly used up, with a note that says so."""
    keep = settings.select
    most = scarce(keep.minimum, keep.maximum) if pressure == "lower" else keep.maximum
    least = min(keep.minimum, most)
    kept = select(hits, minimum=least, maximum=most, token_budget=keep.token_budget, floor=keep.floor)
    return kept, (f"the budget is tight: {most} chunks at most",) if most < keep.maximum else ()


def _tell(tell: Tell | None, signal: Signal) -> None:
    if tell is not None:
        tell(signal)
