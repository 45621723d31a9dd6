"""The batch lane as callers see it: submit, look how far it is, collect, cancel; each continues where one broke."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from ragkit.batches.asking import Asker, Questions
from ragkit.batches.beside import JournalThread, opened
from ragkit.batches.job import Job, Question
from ragkit.batches.journal import Journal
from ragkit.batches.kind import Kind
from ragkit.batches.lane import Lane
from ragkit.batches.quote import quote
from ragkit.batches.registry import BatchApis
from ragkit.batches.report import Quote, Report
from ragkit.batches.sending import Env
from ragkit.citation import Rules
from ragkit.contexts.kind import Contexts
from ragkit.errors import ConfigError
from ragkit.nouns import Account
from ragkit.parts import Parts
from ragkit.query import check_question, make_query
from ragkit.structured import answer_schema
from ragkit.vectors.kind import Vectors


class Batches:
    """The jobs of one index. A caller's `schema` is not kept: give the same one when collecting.

    `apis` are left open for whoever gave them; without them, each piece of work opens and closes its own.
    """

    def __init__(self, parts: Parts, asker: Asker, env: Env | None = None, apis: BatchApis | None = None) -> None:
        self._parts = parts
        self._asker = asker
        self._env = env or Env()
        self._apis = apis

    async def submit(
        self,
        questions: Sequence[Question | str],
        *,
        schema: type[Any] | None = None,
        account: Account | None = None,
        k: int | None = None,
        filters: Mapping[str, str] | None = None,
        deadline: datetime | None = None,
    ) -> Report:
        """Prepare, hold and submit. The same questions again continue a job that is not finished: nothing twice.

        Raises `BudgetExceeded` if not all of them fit, then none is asked.
        """
        report = await self.enter(questions, schema=schema, account=account, k=k, filters=filters, deadline=deadline)
        done = await self.advance(report.job.id, schema=schema, account=report.job.account)
        return replace(done, resumed=report.resumed)

    async def enter(
        self,
        questions: Sequence[Question | str],
        *,
        schema: type[Any] | None = None,
        account: Account | None = None,
        k: int | None = None,
        filters: Mapping[str, str] | None = None,
        deadline: datetime | None = None,
    ) -> Report:
        """Write a job down for `advance`, or find the unfinished one with the same questions."""
        asked = _numbered(questions)
        query = make_query(asked[0].text, self._parts.settings, k=k, filters=filters, account=account)
        job = Job(
            uuid.uuid4().hex[:16], query.account, self._env.now(), query.k, query.filters, _name(schema), "", deadline
        )
        job = replace(job, digest=_digest(job, asked))

        def enter(journal: Journal) -> Report:
            with journal.turn():
                found = journal.open_job(job.account.tenant, job.digest)
                if found is None:
                    journal.add_job(job, asked)
                elif deadline is not None:
                    found = replace(found, deadline=deadline)
                    journal.put_job(found)
            return replace(_report(found or job, journal), resumed=found is not None)

        async with opened(self._parts.settings.store.path) as journal:
            report = await journal.run(enter)
        if not report.resumed:
            self._env.at("job written")
        return report

    async def advance(self, job_id: str, *, schema: type[Any] | None = None, account: Account | None = None) -> Report:
        """Do what can be done for a job without waiting for a provider's batches; also after a crash, at any step."""
        async with self._working_on(job_id, account, schema) as (lane, journal, job):
            check_schema(job, schema)
            return await _reported(await lane.advance(job), journal)

    async def collect(self, job_id: str, *, schema: type[Any] | None = None, account: Account | None = None) -> Report:
        """Take what has ended and continue the rest; also after a crash, at whatever step."""
        async with self._working_on(job_id, account, schema) as (lane, journal, job):
            check_schema(job, schema)
            return await _reported(await lane.collect(job), journal)

    async def find(self, job_id: str, *, account: Account | None = None) -> Job | None:
        """A tenant's own job, if it is there."""
        async with opened(self._parts.settings.store.path) as journal:
            return await self._own(journal, job_id, account)

    async def report(self, job_id: str, *, account: Account | None = None) -> Report:
        """As the journal alone says."""
        async with opened(self._parts.settings.store.path) as journal:
            return await _reported(await self._job(journal, job_id, account), journal)

    async def status(self, job_id: str, *, account: Account | None = None) -> Report:
        """As the journal and the providers say; changes nothing."""
        async with self._opened(heal=False) as (journal, apis):
            report = await _reported(await self._job(journal, job_id, account), journal)
            running = [part for part in report.parts if part.state == "submitted"]
            progress = {part.id: await apis.api(part.provider).progress(part.remote) for part in running}
            return replace(report, progress=progress)

    async def cancel(self, job_id: str, *, account: Account | None = None) -> Report:
        """Stop a job: what was worked off by now is kept and billed; collect it once the providers have stopped."""
        async with self._working_on(job_id, account) as (lane, journal, job):
            return await _reported(await lane.drop(job), journal)

    def jobs(self, tenant: str | None = None, most: int | None = None) -> tuple[Report, ...]:
        """The jobs of a tenant, the oldest first; of more than `most` the latest."""
        journal = Journal(self._parts.settings.store.path)
        try:
            found = journal.jobs(tenant or self._parts.settings.tenant, most)
            return tuple(_report(job, journal) for job in found)
        finally:
            journal.close()

    async def price(self, questions: Sequence[Question | str], *, schema: type[Any] | None = None) -> Quote:
        """What `submit` would cost; nothing is bought and nothing written down."""
        settings = self._parts.settings
        queries = [make_query(it.text, settings) for it in _numbered(questions)]
        prepared = [await self._asker.preview(replace(query, schema=schema)) for query in queries]
        payer = self._parts.payer(queries[0].account, self._env.now())
        return quote(prepared, payer, answer_schema(schema), settings.baseline.output_tokens)

    async def _own(self, journal: JournalThread, job_id: str, account: Account | None) -> Job | None:
        """A tenant's own job; that there is another tenant's of this name is not told."""
        tenant = self._parts.settings.tenant if account is None else account.tenant
        job = await journal.run(lambda it: it.job(job_id))
        return None if job is None or job.account.tenant != tenant else job

    async def _job(self, journal: JournalThread, job_id: str, account: Account | None) -> Job:
        job = await self._own(journal, job_id, account)
        if job is None:
            raise ConfigError(f"there is no job '{job_id}' here: `ragkit batch list` shows them")
        return job

    @asynccontextmanager
    async def _working_on(
        self, job_id: str, account: Account | None, schema: type[Any] | None = None
    ) -> AsyncIterator[tuple[Lane, JournalThread, Job]]:
        """A tenant's own job as it stands once nobody else works on it; for another one nothing is locked."""
        async with self._opened() as (journal, apis):
            await self._job(journal, job_id, account)
            async with journal.working_on(job_id):
                job = await self._job(journal, job_id, account)
                yield Lane(self._parts, self._kind(job, schema), journal, apis, self._env), journal, job

    def _kind(self, job: Job, schema: type[Any] | None) -> Kind:
        if job.kind == "vectors":
            return Vectors(self._asker.store, self._env.at)
        if job.kind == "contexts":
            return Contexts(self._parts, self._asker.store, self._env.at)
        return self._questions(schema)

    def _questions(self, schema: type[Any] | None = None) -> Questions:
        answer = self._parts.settings.answer
        return Questions(self._asker, schema, Rules(answer.unsupported, answer.links))

    @asynccontextmanager
    async def _opened(self, *, heal: bool = True) -> AsyncIterator[tuple[JournalThread, BatchApis]]:
        apis = self._apis or BatchApis(self._parts.settings.providers)
        try:
            async with opened(self._parts.settings.store.path) as journal:
                if heal:
                    await Lane(self._parts, self._questions(), journal, apis, self._env).heal()
                yield journal, apis
        finally:
            if self._apis is None:
                await apis.aclose()


def check_schema(job: Job, schema: type[Any] | None) -> None:
    """Raises `ConfigError` for another schema than the one that a job was submitted with."""
    if job.schema != _name(schema):
        raise ConfigError(f"job {job.id} was submitted with the schema '{job.schema or 'none'}': give the same")


def _numbered(questions: Sequence[Question | str]) -> list[Question]:
    """Questions with ids of their own; `ConfigError` where two have the same."""
    named = [Question(f"q{n}", it) if isinstance(it, str) else it for n, it in enumerate(questions, start=1)]
    if not named:
        raise ConfigError("there are no questions: a batch needs at least one")
    ids = [question.id for question in named]
    if twice := next((id_ for id_ in ids if ids.count(id_) > 1), None) if len(set(ids)) < len(ids) else None:
        raise ConfigError(f"two questions have the id '{twice}': give each its own")
    return [Question(question.id, check_question(question.text)) for question in named]


async def _reported(job: Job, journal: JournalThread) -> Report:
    return await journal.run(lambda it: _report(job, it))


def _report(job: Job, journal: Journal) -> Report:
    return Report(job, journal.parts(job.id), journal.all_items(job.id))


def _digest(job: Job, questions: Sequence[Question]) -> str:
    """The same for the same questions of the same account, however often they are submitted."""
    who = [job.account.tenant, job.account.user, job.account.key, list(job.account.tags)]
    asked = [[question.id, question.text] for question in questions]
    text = json.dumps([who, job.k, job.filters, job.schema, asked])
    return hashlib.sha256(text.encode()).hexdigest()


def _name(schema: type[Any] | None) -> str:
    """A schema's name with a digest, so that another one is noticed."""
    if schema is None:
        return ""
    wanted = answer_schema(schema).schema
    return f"{wanted.name}-{hashlib.sha256(json.dumps(wanted.json_schema, sort_keys=True).encode()).hexdigest()[:8]}"
