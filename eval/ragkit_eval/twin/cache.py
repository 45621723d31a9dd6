"""Prefix caches as the providers run them, on the twin's clock.

Two kinds: at breakpoints that the request names (Anthropic, OpenAI from GPT-5.6 on), and automatic in steps of tokens
(older OpenAI models, Gemini, vLLM). Both look up when a request begins and become readable when its answer begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

FOREVER = timedelta(days=36_500)
LIFETIMES = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "12h": timedelta(hours=12),
    "24h": timedelta(hours=24),
}


def chain(root: str, parts: Sequence[str]) -> tuple[str, ...]:
    """A digest for each part and all that stands before it; equal digests mean byte-equal prefixes."""
    running = hashlib.blake2b(root.encode(), digest_size=16)
    digests = []
    for part in parts:
        running.update(len(part).to_bytes(8, "big"))
        running.update(part.encode("utf-8", "surrogatepass"))
        digests.append(running.hexdigest())
    return tuple(digests)


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """A place to read from and, when `ttl` is set, to write at: after the block at `index`."""

    index: int
    ttl: str | None


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A rendered prompt: digest and cumulative tokens after each block."""

    digests: tuple[str, ...]
    tokens: tuple[int, ...]

    @property
    def total(self) -> int:
        return self.tokens[-1] if self.tokens else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request reads and writes, in tokens; `entries` become readable by `commit`."""

    read: int = 0
    written: Mapping[str, int] = field(default_factory=dict)
    entries: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None

    @property
    def cached(self) -> int:
        return self.read + sum(self.written.values())


@dataclass(slots=True)
class _Entry:
    ttl: str
    expires: datetime


class BreakpointCache:
    """Entries at breakpoints; a lookup tries `lookback` places, the breakpoint first, and finds what was written."""

    def __init__(self, *, lookback: int) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lookback = lookback

    def look_up(self, prompt: Prefixes, breakpoints: Sequence[Breakpoint], minimum: int, now: datetime) -> Outcome:
        """Read the longest live prefix, plan to write what lies beyond it; shorter than `minimum` does not count."""
        hits = [hit for mark in breakpoints if (hit := self._find(prompt, mark.index, minimum, now)) is not None]
        for index in hits:
            entry = self._entries[prompt.digests[index]]
            entry.expires = now + LIFETIMES[entry.ttl]
        read = max((prompt.tokens[index] for index in hits), default=0)
        written: dict[str, int] = {}
        entries: dict[str, str] = {}
        reached = read
        for mark in sorted(breakpoints, key=lambda mark: mark.index):
            end = prompt.tokens[mark.index]
            if mark.ttl is not None and end >= minimum and end > reached:
                written[mark.ttl] = written.get(mark.ttl, 0) + end - reached
                entries[prompt.digests[mark.index]] = mark.ttl
                reached = end
        return Outcome(read, written, entries, now)

    def commit(self, outcome: Outcome) -> None:
        """The answer begins: what was written is readable, its lifetime counted from the request's start."""
        for digest, ttl in outcome.entries.items():
            if outcome.at is not None:
                self._entries[digest] = _Entry(ttl, outcome.at + LIFETIMES[ttl])

    def _find(self, prompt: Prefixes, index: int, minimum: int, now: datetime) -> int | None:
        for place in range(index, max(-1, index - self._lookback), -1):
            entry = self._entries.get(prompt.digests[place])
            if entry is not None and entry.expires > now and prompt.tokens[place] >= minimum:
                return place
        return None


class StepCache:
    """Every prompt is cached by itself, in steps of `step` tokens and from `minimum` tokens on, for `ttl`."""

    def __init__(self, ttl: timedelta = FOREVER) -> None:
        self._expires: dict[str, datetime] = {}
        self._ttl = ttl

    def look_up(self, root: str, tokens: Sequence[str], step: int, now: datetime) -> tuple[int, tuple[str, ...]]:
        """Tokens read, and the digests to commit; a hit refreshes what it read."""
        joined = ["".join(tokens[start : start + step]) for start in range(0, len(tokens) - len(tokens) % step, step)]
        digests = chain(root, joined)
        read = 0
        for number, digest in enumerate(digests, start=1):
            if self._expires.get(digest, now) <= now:
                break
            read = number * step
        return read, digests

    def commit(self, digests: Sequence[str], at: datetime, ttl: timedelta | None = None) -> None:
        """The answer begins: its prompt is readable from now on."""
        for digest in digests:
            self._expires[digest] = max(at + (ttl or self._ttl), self._expires.get(digest, at))
