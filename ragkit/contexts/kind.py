"""Chunks in want of a context as items of a job: what comes back goes into the index, if the chunk is still there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ragkit.batches.beside import JournalThread
from ragkit.batches.job import Asked, Item, Job, paid
from ragkit.batches.journal import Journal
from ragkit.batches.kind import Written
from ragkit.batches.plan import Candidate
from ragkit.batches.sending import pass_by
from ragkit.calls.attempt import Attempt
from ragkit.checkout import Order, Payer, checkout
from ragkit.contexts.fill import fill
from ragkit.contexts.model import context_model
from ragkit.contexts.report import OTHERS, OUTDATED
from ragkit.contexts.wish import Maker, read_context
from ragkit.generate import Generation
from ragkit.nouns import Completion, EventKind, Lane
from ragkit.parts import Parts
from ragkit.receipt import receipt_to_json
from ragkit.store import Store


@dataclass(slots=True)
class Contexts:
    """`store` opens the index that they are for, `at` hears of steps, `given` counts the chunks that got one."""

    parts: Parts
    store: Callable[[], Awaitable[Store]]
    at: Callable[[str], None] = pass_by
    given: int = 0

    @property
    def event(self) -> EventKind:
        return "context"

    async def prepare(self, item: Item, job: Job) -> Asked | Mapping[str, Any]:
        raise RuntimeError("what is asked for a chunk is written down together with the job")

    def share(self, group: Sequence[Candidate], payer: Payer) -> list[Candidate]:
        """The stretch of a document that chunks share is their prefix from the start."""
        return list(group)

    def read(self, completion: Completion, asked: Asked) -> Written:
        context = read_context(completion, asked)
        return lambda receipt, seconds: {"context": context, "receipt": receipt_to_json(receipt)}

    async def ask(self, item: Item, asked: Asked, job: Job) -> Mapping[str, Any]:
        """At the live price, with the attempts that a question would have; a chunk can do without a repair."""
        parts, request = self.parts, asked.request
        order = Order(parts.payer(job.account, parts.clock()), item.live, None, named=True)

        def record(attempt: Attempt) -> None:
            order.record(replace(attempt, kind=self.event), request.model, request.prompt)

        async with checkout(order):
            providers = await parts.providers([request.model])
            generation = Generation(providers, parts.retrying, repairs=0, admit=order.admit)
            made = await generation.run(
                request, asked.route, validate=lambda completion: read_context(completion, asked), record=record
            )
        return {"context": made.value, "receipt": receipt_to_json(order.receipt)}

    async def deliver(self, job: Job, journal: JournalThread) -> None:
        """First what was bought is remembered, then the index gets it, then it is written down that it has it."""
        maker: Maker | None = None
        sources = set[str]()
        async for page in journal.pages(job.id):
            if items := list(filter(_undelivered, page)):
                maker = maker or await journal.run(partial(self._maker, item=items[0], job=job))
                said = {item.question.id: str((item.answer or {}).get("context", "")) for item in items}
                await journal.run(partial(Journal.keep_contexts, tenant=job.account.tenant, contexts=said))
                sources.update(item.question.text for item in items)
        if maker is None:
            return
        self.at("remembered")
        wanted, seen = self._wanted(maker), set[str]()
        async for filled in fill(await self.store(), journal, maker, sources if wanted else ()):
            self.given += filled.given
            seen.update(filled.seen)
        self.at("filled")
        why = OUTDATED if wanted else OTHERS
        async for page in journal.pages(job.id):
            items = list(filter(_undelivered, page))
            await journal.put_arrived([_delivered(item, applied=item.question.id in seen, why=why) for item in items])

    def _wanted(self, maker: Maker) -> bool:
        """Contexts of a model that the settings no longer name must not replace those of the one that they name."""
        if self.parts.settings.ingest.context == "off":
            return True
        model = context_model(self.parts.settings, self.parts.catalogue, self.parts.clock())
        return replace(maker, model=model).name == maker.name

    def _maker(self, journal: Journal, item: Item, job: Job) -> Maker:
        """By what a job was made, whatever the settings say by now."""
        (asked,) = journal.asked([item])
        lane: Lane = asked.request.lane
        return Maker(asked.request.model, job.account.tenant, lane, self.parts.catalogue, self.parts.clock())


def _undelivered(item: Item) -> bool:
    """What was paid for, also where it is of no use: it must not be bought again. What failed for free may be."""
    useful = item.state == "answered" or (item.state == "failed" and paid(item))
    return useful and "applied" not in (item.answer or {})


def _delivered(item: Item, *, applied: bool, why: str) -> Item:
    useful = item.state == "answered"
    reason = item.reason or ("" if applied else why)
    return replace(item, reason=reason, answer={**(item.answer or {}), "applied": useful and applied})
