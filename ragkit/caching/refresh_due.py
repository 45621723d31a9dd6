"""The entries at providers that this process keeps warm, each with the request that reads it: what is due, and why.

An entry belongs to a tenant, a model with its effort, a schema and the bytes of a prefix; kinds of questions that share
all of these share it and its refreshes. Its request is that of a question, without the question: what stands before the
mark is the same to the byte. An entry that is not worth a refresh is forgotten until a question names it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ragkit.caching.line import Kind, Line
from ragkit.caching.policy import SECONDS
from ragkit.caching.prefix import Prefixes
from ragkit.caching.refresh_worth import LEAST_OUTPUT, Verdict, lead_of, refresh_verdict
from ragkit.nouns import Prompt, Request, Usage
from ragkit.tokens import estimate_tokens

NOTHING = "."
"""A question that asks nothing: providers refuse an empty one."""
TOO_LATE = 2.0
"""Seconds before its end from which an entry is not read again: the request might come late and write it."""
LOST = "the provider had forgotten the prefix although it was read in time: for a week it is not kept any more"
Name = tuple[str, str, str | None, str, str]


@dataclass(slots=True)
class Entry:
    """What a provider holds, and whose questions read it.

    `busy` while it is being refreshed; `renewed` where a question has read it since that was due.
    """

    name: Name
    request: Request
    tenant: str
    kinds: dict[str, Kind] = field(default_factory=dict)
    busy: bool = False
    renewed: bool = False

    @property
    def seconds(self) -> int:
        ttl = self.request.prompt.prefix.ttl
        return SECONDS[ttl] if ttl is not None else 0


@dataclass(frozen=True, slots=True)
class Due:
    """An entry that is to be refreshed now, for the line whose next question is worth it."""

    entry: Entry
    line: Line
    reason: str


def refreshing(request: Request) -> Request:
    """The cheapest request that reads the same prefix."""
    prompt = request.prompt
    texts = (prompt.system, prompt.prefix.text, NOTHING)
    bare = Prompt(prompt.system, prompt.prefix, "", (), NOTHING, tokens=sum(map(estimate_tokens, texts)))
    least = LEAST_OUTPUT[request.model.provider]
    return replace(request, prompt=bare, max_output=least, lane="standard", repair=())


class Keeping:
    """All entries of one process. `clock` gives seconds since 1970; `changed` is set when there is one more."""

    def __init__(self, prefixes: Prefixes, clock: Callable[[], float]) -> None:
        self._prefixes = prefixes
        self._clock = clock
        self._entries: dict[Name, Entry] = {}
        self.changed = asyncio.Event()

    def remember(self, request: Request, line: Line) -> None:
        """A question with a marked prefix was answered: its entry may be kept."""
        model, prefix = request.model, request.prompt.prefix
        if not self._prefixes.kept_warm or not prefix.marked or model.provider not in LEAST_OUTPUT:
            return
        name = (model.provider, model.id, model.effort, line.kind.schema, request.cache_key)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry(name, refreshing(request), line.kind.tenant)
            self.changed.set()
        elif entry.request.prompt.prefix.ttl != prefix.ttl:
            entry.request = refreshing(request)
        entry.kinds[line.kind.key] = line.kind
        entry.renewed = True

    def next_due(self) -> float | None:
        """When the next entry is to be looked at; None while there is none."""
        return min((self._end(it) - lead_of(it.seconds) for it in self._entries.values() if not it.busy), default=None)

    def due(self) -> list[Due]:
        """The entries to refresh now, the first to end first; each is busy until `done` or `give_up` is told."""
        found = []
        for entry in sorted(self._entries.values(), key=self._end):
            if entry.busy or self._end(entry) - lead_of(entry.seconds) > self._clock():
                continue
            due = self._decide(entry)
            if due is None:
                self.forget(entry)
            else:
                entry.busy, entry.renewed = True, False
                found.append(due)
        return found

    def still(self, due: Due) -> bool:
        """Whether a refresh that was due is still to be sent: a question may have come, or a document gone."""
        in_time = self._clock() < self._end(due.entry) - TOO_LATE
        return self._prefixes.kept_warm and in_time and due.line in self.lines(due.entry)

    def done(self, due: Due, usage: Usage, pico: int, begun: float, *, simulated: bool = False) -> None:
        """A refresh was answered. One that had to write shows that reads do not keep the entry: it is given up."""
        entry, warm = due.entry, bool(usage.cache_read or usage.cache_written)
        entry.busy = False
        due.line.balance.refresh(usage, pico, begun, simulated=simulated)
        for line in self.lines(entry):
            line.lapses = line.lapses or line.warm_until
            line.warm_until = max(line.warm_until, begun + entry.seconds) if warm else 0.0
            line.touched = begun
            if not usage.cache_read:
                line.keeping, line.lost = LOST, begun
        if not usage.cache_read:
            self.forget(entry)

    def give_up(self, entry: Entry) -> None:
        """It was not refreshed; where a question has read it meanwhile, it lives on for that one's sake."""
        entry.busy = False
        if not entry.renewed:
            self.forget(entry)

    def forget(self, entry: Entry) -> None:
        self._entries.pop(entry.name, None)

    def lines(self, entry: Entry) -> list[Line]:
        """The lines, of those in memory, that have this prefix in force."""
        digest = entry.request.prompt.prefix.digest
        held = (self._prefixes.lines.held(kind) for kind in entry.kinds.values())
        return [it for it in held if it is not None and it.version is not None and it.version.digest == digest]

    def _end(self, entry: Entry) -> float:
        return max((line.warm_until for line in self.lines(entry)), default=0.0)

    def _decide(self, entry: Entry) -> Due | None:
        """None where no line's next question is worth a refresh, or where the entry is cold or retired already."""
        if self._end(entry) - TOO_LATE <= self._clock():
            return None
        for line in self.lines(entry):
            verdict = self.verdict(line)
            line.keeping = verdict.reason
            if verdict.pays:
                return Due(entry, line, verdict.reason)
        return None

    def verdict(self, line: Line) -> Verdict:
        """Whether a line's next question is worth a refresh of its prefix now, and why."""
        market, _ = self._prefixes.market(line)
        terms = next((it for it in market.offered if it.ttl == line.ttl), None)
        if terms is None or terms.stay is None or line.version is None or line.arrivals.last is None:
            return Verdict(False, "there is nothing that a refresh could read")
        choice, now = self._prefixes.policy.choose(market.offered, line.arrivals), self._clock()
        if choice.terms is None:
            return Verdict(False, choice.reason)
        tokens = market.head + line.version.tokens
        if reason := line.balance.keeping_objection(tokens * terms.stay.saved):
            return Verdict(False, reason)
        return refresh_verdict(line.arrivals.left(), terms.stay, now - line.arrivals.last, tokens)
