"""Prefix versions: chosen from what is asked for, put in force seldom, retired at once when their documents change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ragkit.caching.line import Line, Version, chunks_from_json, digest_of, version_to_json
from ragkit.caching.lines import Lines
from ragkit.caching.policy import Choice, Terms
from ragkit.hot import ENOUGH, Candidate, Costs, in_prefix_order, select_hot, value
from ragkit.models import ModelSpec
from ragkit.nouns import Chunk
from ragkit.tokens import estimate_tokens, typical_tokens, upper_bound_tokens

LOOKED_AT = 200
"""Chunks that are considered, the most asked first."""
UNHEARD = "no chunk is selected often enough to pay for being read in every question"
TOO_SHORT = "the hot chunks are shorter than the {:,} tokens from which the model caches"
IN_FORCE = "SELECT line, number, at, digest, body FROM version WHERE retired IS NULL"
CHANGED = "a document in it was changed or deleted"


class Documents(Protocol):
    """The part of a store that a prefix needs."""

    async def chunks(self, tenant: str, document_id: str) -> tuple[Chunk, ...]: ...


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the documents, and how they are rendered: given, since stages do not know each other."""

    text: str
    render: Callable[[Sequence[Chunk]], str]

    @staticmethod
    def estimate(text: str) -> int:
        return estimate_tokens(text)


@dataclass(frozen=True, slots=True)
class Market:
    """What a provider offers for a model today; tokens are the model's own. `spec` is None for free local work."""

    offered: tuple[Terms, ...]
    head: int
    minimum: int
    maximum: int
    spec: ModelSpec | None
    cliff: int | None = None

    def tokens(self, text: str) -> int:
        return estimate_tokens(text) if self.spec is None else typical_tokens(text, self.spec)

    def bound(self, text: str) -> int:
        return upper_bound_tokens(text, self.spec) if self.spec is not None else len(text.encode())

    def costs(self, terms: Terms, warm: float) -> Costs:
        return Costs(terms.plain, terms.average(warm), self.head, self.minimum, self.maximum)


class Versions:
    """Which version is in force on each line."""

    def __init__(self, lines: Lines, head: Head) -> None:
        self._lines = lines
        self._file = lines.file
        self._head = head

    async def current(
        self, line: Line, market: Market, choice: Choice, store: Documents, corpus: str | None, now: float
    ) -> tuple[Version | None, str]:
        """The version for a question, or None and why there is none."""
        self._restore(line, market)
        if line.version is not None and (corpus is None or line.version.corpus != corpus):
            await self._check(line, store, corpus, now)
        if self._due(line, choice, now):
            await self._choose(line, market, choice, store, corpus, now)
        if line.version is not None:
            return line.version, ""
        if choice.terms is None:
            return None, choice.reason
        if self._lines.scope(line.kind.scope).demand.seen < ENOUGH:
            return None, f"too few questions were asked to know what is hot: at least {ENOUGH} are needed"
        return None, line.lack or UNHEARD

    async def revalidate(self, tenant: str, store: Documents, now: float) -> None:
        """Retire every version of a tenant, in memory or not, that holds what is not there any more."""
        for line in self._lines.loaded():
            if line.kind.tenant == tenant and line.version is not None:
                await self._check(line, store, None, now)
        for name, number, _, _, body in self._file.rows(IN_FORCE):
            if json.loads(name)[0] == tenant and not await _same(chunks_from_json(json.loads(body)), store, tenant):
                self._retire_row(name, number, CHANGED, now)

    def _restore(self, line: Line, market: Market) -> None:
        """The version that another process, or this one before, has put in force."""
        key = line.kind.key
        if line.restored:
            return
        line.restored = True
        rows = self._file.rows(f"{IN_FORCE} AND line = ? ORDER BY number DESC LIMIT 1", (key,))
        for _, number, at, digest, body in rows:
            told = json.loads(body)
            chunks = chunks_from_json(told)
            text = self._head.render(chunks)
            if digest_of(self._head.text, text) == digest:
                bound = market.bound(text)
                line.version = Version(number, at, told["corpus"], chunks, text, digest, told["sizes"], bound)

    def _due(self, line: Line, choice: Choice, now: float) -> bool:
        """Not oftener than one lifetime, and not before there is something new to know."""
        if choice.terms is None or line.since < ENOUGH:
            return False
        return line.version is None or now - line.version.created >= choice.terms.seconds

    async def _check(self, line: Line, store: Documents, corpus: str | None, now: float) -> None:
        version = line.version
        if version is None:
            return
        if await _same(version.chunks, store, line.kind.tenant):
            line.version = replace(version, corpus=corpus)
            return
        self._retire(line, CHANGED, now)
        self._lines.scope(line.kind.scope).demand.forget([chunk.id for chunk in version.chunks])

    async def _choose(
        self, line: Line, market: Market, choice: Choice, store: Documents, corpus: str | None, now: float
    ) -> None:
        """Put other chunks in force where they save more than writing them costs, over as many questions as lately."""
        if choice.terms is None:
            return
        since, line.since = line.since, 0
        costs = market.costs(choice.terms, choice.warm)
        candidates = await self._candidates(line, market, costs, store)
        old = line.version
        held = {chunk.id for chunk in old.chunks} if old is not None else set()
        chosen = select_hot(candidates, costs, held)
        if not chosen:
            short = select_hot(candidates, replace(costs, minimum=0), held)
            line.lack = TOO_SHORT.format(costs.minimum) if short else UNHEARD
        if not chosen or {it.chunk.id for it in chosen} == held:
            return
        before = [it for it in candidates if it.chunk.id in held]
        gain = value(chosen, costs) - (value(before, costs) if old is not None else 0.0)
        size = costs.head + sum(it.tokens for it in chosen)
        if gain * since > size * (choice.terms.write - choice.terms.read):
            self._put(line, market, chosen, corpus, now)

    async def _candidates(self, line: Line, market: Market, costs: Costs, store: Documents) -> list[Candidate]:
        """The chunks most asked for, with their text as it is now."""
        scope = self._lines.scope(line.kind.scope)
        demand, least = scope.demand, costs.average / costs.plain / 4
        asked = sorted(demand.weights, key=lambda chunk: (-demand.weights[chunk], chunk))[:LOOKED_AT]
        asked = [chunk for chunk in asked if demand.rate(chunk) >= least and chunk in scope.homes]
        found: dict[str, Chunk] = {}
        for document in dict.fromkeys(scope.homes[chunk] for chunk in asked):
            found.update((chunk.id, chunk) for chunk in await store.chunks(line.kind.tenant, document))
        demand.forget([chunk for chunk in asked if chunk not in found])
        return [
            Candidate(
                found[chunk], market.tokens(self._shown(found[chunk])), demand.rate(chunk), demand.sure_rate(chunk)
            )
            for chunk in asked
            if chunk in found
        ]

    def _shown(self, chunk: Chunk) -> str:
        """A chunk as the prefix shows it, with its tags."""
        return self._head.render((chunk,))

    def _put(self, line: Line, market: Market, chosen: Sequence[Candidate], corpus: str | None, now: float) -> None:
        chunks = in_prefix_order(chosen)
        text = self._head.render(chunks)
        digest = digest_of(self._head.text, text)
        number = 1 + max((row[0] for row in self._numbers(line)), default=0)
        self._retire(line, "other documents became hotter", now)
        sizes = {it.chunk.id: it.tokens for it in chosen}
        line.version = Version(number, now, corpus, chunks, text, digest, sizes, market.bound(text))
        self._file.write(
            "INSERT OR REPLACE INTO version (line, number, at, digest, body, reason) VALUES (?, ?, ?, ?, ?, '')",
            (line.kind.key, number, now, digest, version_to_json(line.version)),
        )

    def _numbers(self, line: Line) -> list[tuple[int]]:
        rows = self._file.rows("SELECT max(number) FROM version WHERE line = ?", (line.kind.key,))
        return [(number,) for (number,) in rows if number is not None]

    def _retire(self, line: Line, reason: str, now: float) -> None:
        line.warm_until = 0.0
        if line.version is not None:
            self._retire_row(line.kind.key, line.version.number, reason, now)
        line.version = None

    def _retire_row(self, name: str, number: int, reason: str, now: float) -> None:
        """Its text goes: what was deleted must not live on here."""
        self._file.write(
            "UPDATE version SET retired = ?, reason = ?, body = '{}' WHERE line = ? AND number = ?",
            (now, reason, name, number),
        )


async def _same(chunks: Sequence[Chunk], store: Documents, tenant: str) -> bool:
    """Whether each of these chunks is still there as it was; a context, which nobody is shown, may have come since."""
    for document in dict.fromkeys(chunk.document_id for chunk in chunks):
        now = {chunk.id: replace(chunk, context="") for chunk in await store.chunks(tenant, document)}
        held = [replace(chunk, context="") for chunk in chunks if chunk.document_id == document]
        if any(now.get(chunk.id) != chunk for chunk in held):
            return False
    return True
