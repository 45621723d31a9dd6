"""The batch lane: items, mostly questions, are prepared now, asked at half price within a day, and billed one by one.

A job goes through steps, each of which is written down before the next one begins, and each of which may be done
again after a crash without harm:

    prepare   retrieve, rerank, route; what a free model answers is answered at once
    plan      put questions into parts, one batch each, and fix what each one may cost
    hold      set the money aside, for all of them or for none; holds have names, so holding again holds once
    send      write down that a batch is being submitted, submit it, write down its id; a submission whose fate is not
              known is looked up at the provider before anything is submitted again
    collect   verify and settle result by result; receipts have names, so settling again settles once
    deliver   take results to where they belong, if that is not the journal; also before anything is sent again, so that
              a provider that takes nothing does not hold up what was paid for
    again     what failed at no cost goes into another batch, or to the live lane where the deadline is near; there a
              question is named before it is asked, and after a crash asked again only if nothing was sent for it
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from ragkit.batch import Progressing
from ragkit.batches.beside import JournalThread
from ragkit.batches.collecting import SPILL, USUAL, Collector
from ragkit.batches.job import Asked, Item, Job, Part
from ragkit.batches.journal import JobBusy, Journal
from ragkit.batches.kind import Kind
from ragkit.batches.live import LiveLane, failed
from ragkit.batches.plan import Candidate, by_model, parts_of, worst
from ragkit.batches.registry import BatchApis
from ragkit.batches.sending import Env, Sender
from ragkit.batches.settling import Desk, purchase
from ragkit.checkout import Payer
from ragkit.errors import BudgetExceeded, InvalidAnswer, ProviderError, Refused
from ragkit.ledger import Purchase
from ragkit.parts import Parts

AT_ONCE = 8
"""Questions that are prepared side by side."""


class Lane:
    """Works on jobs of one kind in a journal. Its caller holds `working_on` for the job."""

    def __init__(self, parts: Parts, kind: Kind, journal: JournalThread, apis: BatchApis, env: Env) -> None:
        self._parts = parts
        self._kind = kind
        self._journal = journal
        self._env = env
        self._sender = Sender(apis, journal, env)
        self._collector = Collector(parts.ledger, journal, self._sender, env)
        self._live = LiveLane(parts.ledger, kind, journal, self._collector, env)

    async def advance(self, job: Job) -> Job:
        """Do everything that can be done for a job without waiting for a provider."""
        if job.state not in ("open", "cancelling"):
            return job
        await self._kind.deliver(job, self._journal)
        if job.state == "open":
            await self._prepare(job)
            await self._journal.run(lambda journal: self._plan(journal, job))
            self._env.at("planned")
            await self._hold(job)
            for part in await self._journal.parts(job.id):
                if part.state in ("planned", "submitting"):
                    await self._sender.send(part)
            await self._live.ask(job)
        else:
            await self._stop(job)
        await self._kind.deliver(job, self._journal)
        self._env.at("delivered")
        return await self._close(job)

    async def collect(self, job: Job) -> Job:
        """Take what has ended, submit again what failed at no cost, and cancel what would miss the deadline."""
        desk = Desk(self._payer(job), self._kind)
        broken: list[ProviderError] = []
        for part in await self._journal.parts(job.id):
            if part.state == "submitted":
                try:
                    progress = await self.progress(part)
                    if progress.progress != "running":
                        await self._collector.take(part, progress, job, desk)
                    elif self._collector.misses(job, SPILL) and not part.cancelled:
                        await self._collector.cancel(part)
                except ProviderError as error:  # one part must not hold up the others
                    broken.append(error)
        job = await self.advance(job)
        if broken:
            raise broken[0]
        return job

    async def progress(self, part: Part) -> Progressing:
        """How far a part is at its provider."""
        return await self._sender.api(part.provider).progress(part.remote)

    async def drop(self, job: Job) -> Job:
        """Give a job up that is not done."""
        if job.state != "open":
            return job
        job = replace(job, state="cancelling", reason="cancelled by its user")
        await self._put_job(job)
        return await self.advance(job)

    async def _stop(self, job: Job) -> None:
        """Batches are cancelled, and what has not been sent is given back."""
        for part in await self._journal.parts(job.id):
            if part.state == "submitting":
                part = await self._sender.look_up(part) or replace(part, state="planned")
            if part.state == "submitted" and not part.cancelled:
                await self._collector.cancel(part)
            elif part.state == "planned":
                await self._journal.put_part(replace(part, state="dropped", reason=job.reason))
                await self._collector.fail(await self._journal.items_of(part.id), job, job.reason)
        await self._live.recover(job)
        waiting = [it for state in ("new", "ready", "live") for it in await self._journal.items(job.id, state)]
        await self._collector.fail(waiting, job, job.reason)

    async def _prepare(self, job: Job) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item: Item) -> None:
            async with gate:
                await self._prepare_one(item, job)

        new = await self._journal.items(job.id, "new")
        try:
            async with asyncio.TaskGroup() as group:
                for item in new:
                    group.create_task(one(item))
        except BaseExceptionGroup as broken:
            raise broken.exceptions[0] from None
        self._env.at("prepared")

    async def _prepare_one(self, item: Item, job: Job) -> None:
        try:
            made = await self._kind.prepare(item, job)
        except (InvalidAnswer, Refused) as error:  # of a free model, which answers at once: the others go on
            await self._journal.put_items(failed(item, str(error), error.receipt))
            return
        if not isinstance(made, Asked):
            await self._journal.put_items(replace(item, state="answered", answer=made))
            return
        self._sender.api(made.route.model.provider)  # one without batches is found out before money is held
        item = replace(item, state="live" if self._collector.misses(job, USUAL) else "ready")
        await self._journal.run(lambda journal: journal.put_asked(item, made))
        self._env.at("prepared one")

    def _plan(self, journal: Journal, job: Job) -> None:
        """All parts of this round in one step."""
        items = journal.items(job.id, "ready")
        candidates = [Candidate(it, asked) for it, asked in zip(items, journal.asked(items), strict=True)]
        payer, number = self._payer(job), len(journal.parts(job.id))
        with journal.step():
            for (provider, model), group in by_model(candidates).items():
                for members in parts_of(self._kind.share(group, payer), self._sender.api(provider)):
                    part = Part(f"{job.id}-{number}", job.id, provider, model)
                    number += 1
                    journal.put_part(part)
                    for member in members:
                        pico = member.item.hold_pico or worst(member.asked.request, payer)
                        item = replace(member.item, state="planned", part=part.id, hold_pico=pico)
                        journal.put_asked(item, member.asked)

    async def _hold(self, job: Job) -> None:
        """Money for everything that is about to be sent, or for nothing."""
        parts = [part for part in await self._journal.parts(job.id) if part.state == "planned"]

        def purchases(journal: Journal) -> list[Purchase]:
            items = [item for part in parts for item in journal.items_of(part.id)]
            return [purchase(it, asked, job) for it, asked in zip(items, journal.asked(items), strict=True)]

        wanted = await self._journal.run(purchases)
        made = await asyncio.gather(*(self._parts.ledger.hold(it) for it in wanted), return_exceptions=True)
        broken = next((it for it in made if isinstance(it, BaseException)), None)
        if isinstance(broken, BudgetExceeded):
            # First the decision, then the money: a hold that was given back must not pass for one that stands.
            reason = str(broken)
            await self._journal.run(lambda journal: _refuse(journal, job, parts, reason))
            self._env.at("refused")
            await self._release(job)
        if broken is not None:
            raise broken
        self._env.at("held")

    async def heal(self) -> None:
        """Give back what a crash left held of jobs that a budget refused: nobody will come back to them."""
        for job in await self._journal.run(Journal.half_refused):
            with suppress(JobBusy):  # whoever works on it does so himself
                async with self._journal.working_on(job.id):
                    await self._release(job)

    async def _release(self, job: Job) -> None:
        """Give back what a budget let through before it refused."""
        for part in await self._journal.parts(job.id):
            if part.state == "refused":
                await self._collector.fail(await self._journal.items_of(part.id), job, part.reason)

    async def _close(self, job: Job) -> Job:
        """A job is done when each of its questions has an answer or a reason why it has none."""
        items = await self._journal.run(lambda journal: journal.all_items(job.id))
        if all(item.state in ("answered", "failed") for item in items):
            job = replace(job, state="done")
            await self._put_job(job)
        return job

    async def _put_job(self, job: Job) -> None:
        await self._journal.run(lambda journal: journal.put_job(job))

    def _payer(self, job: Job) -> Payer:
        return self._parts.payer(job.account, self._env.now())


def _refuse(journal: Journal, job: Job, parts: Sequence[Part], reason: str) -> None:
    with journal.step():
        for part in parts:
            journal.put_part(replace(part, state="refused", reason=reason))
        journal.put_job(replace(job, state="refused", reason=reason))
