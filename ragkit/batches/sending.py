"""Submitting a part once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from ragkit.batch import BatchApi, Line
from ragkit.batches.beside import JournalThread
from ragkit.batches.job import Part
from ragkit.batches.journal import Journal
from ragkit.batches.plan import Candidate, lines_of
from ragkit.batches.registry import BatchApis
from ragkit.errors import AuthFailed, BadRequest, ContextTooLong, ProviderError, RateLimited, SpendLimitReached

GRACE = timedelta(seconds=30)
"""How long a submission whose answer was lost may take to show up in the provider's list."""
NOTHING_CREATED = (AuthFailed, BadRequest, ContextTooLong, RateLimited, SpendLimitReached)
"""Answers that say for certain that there is no batch."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def pass_by(step: str) -> None:
    """Nothing happens at a step."""


@dataclass(frozen=True, slots=True)
class Env:
    """What the lane takes from outside, so that tests and drills can stand in: time, and what happens at each step."""

    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    grace: timedelta = GRACE
    at: Callable[[str], None] = pass_by


class Sender:
    """Submits parts to the batch APIs."""

    def __init__(self, apis: BatchApis, journal: JournalThread, env: Env) -> None:
        self._apis = apis
        self._journal = journal
        self._env = env

    def api(self, name: str) -> BatchApi:
        return self._apis.api(name)

    async def send(self, part: Part) -> None:
        """Submit a part, unless it is found to have been submitted.

        After an error that leaves its fate open it stays `submitting`, and the next call looks it up first.
        """
        if part.state == "submitting" and await self.look_up(part):
            return
        api = self.api(part.provider)
        lines = await self._journal.run(lambda journal: _lines(journal, part.id, api))
        part = replace(part, state="submitting", sent=self._env.now())
        await self._journal.put_part(part)
        self._env.at("submitting")
        try:
            remote = await api.submit(part.id, part.model, lines)
        except ProviderError as error:
            if not error.sent or isinstance(error, NOTHING_CREATED):
                await self._journal.put_part(replace(part, state="planned", reason=str(error)))
            raise
        self._env.at("sent")
        await self._journal.put_part(replace(part, state="submitted", remote=remote, reason=""))
        self._env.at("submitted")

    async def look_up(self, part: Part) -> Part | None:
        """The part as submitted, if its provider has it; waits as long as a new batch may take to be listed."""
        found = await self._find(part)
        if found is None and (left := self._grace_left(part)) > timedelta():
            await self._env.sleep(left.total_seconds())
            found = await self._find(part)
        if found is not None:
            await self._journal.put_part(found)
        return found

    async def _find(self, part: Part) -> Part | None:
        """Batches of other parts, and those that turned out to be others', are left out.

        One that is being submitted for another job right now may be taken for this one; its results will tell.
        """
        known = {*await self._journal.run(Journal.remotes), *part.rejected}
        size, since = len(await self._journal.items_of(part.id)), part.sent or self._env.now()
        found = await self.api(part.provider).find(part.id, size, since)
        remote = next((id_ for id_ in found if id_ not in known), None)
        return None if remote is None else replace(part, state="submitted", remote=remote)

    def _grace_left(self, part: Part) -> timedelta:
        return timedelta() if part.sent is None else part.sent + self._env.grace - self._env.now()


def _lines(journal: Journal, part_id: str, api: BatchApi) -> list[Line]:
    items = journal.items_of(part_id)
    return lines_of([Candidate(it, asked) for it, asked in zip(items, journal.asked(items), strict=True)], api)
