"""When a prompt's head is worth a place in a provider's cache, and for how long: pure, from prices and arrivals.

A write costs w, a read r, plain input i per token. With p the chance that the next question comes while an entry lives,
a marked token costs p r + (1 - p) w on average, which is less than i when p > (w - i) / (w - r). Forecasts are floats;
what was spent is counted in whole pico-dollars elsewhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from math import exp, log
from typing import Protocol

from ragkit.caching.refresh_worth import Stay, kept_warm
from ragkit.nouns import CacheTtl, Usage
from ragkit.prices.pricing import Band, band_cost

SECONDS: dict[CacheTtl, int] = {"5m": 300, "30m": 1800, "1h": 3600, "12h": 43200}
EDGES = (0, *sorted(SECONDS.values()))
AUTOMATIC_SECONDS = 300
"""How long a cache that asks for no mark can be counted on."""
LOCAL_READ = 0.1
"""What a token costs that a machine of our own finds in its cache, where computing it counts 1."""

REMEMBERED = 200
"""Gaps between questions after which an old one counts for little."""
PRIOR_GAPS, PRIOR_WITHIN = 1.0, 0.1
"""What is believed before anything was seen: one gap, almost certainly too long, so that nothing is written blindly."""

ALLOWED_LOSS = 0.01
"""The share of the uncached bill that trying may cost; one write may always be tried beyond it."""
UNREAD_WRITES = 3
"""Writes in a row without any read after which something must be wrong with the prefix."""
PROBE_SECONDS = 3600
"""After so long one more write finds out whether that is still so; doubled after each failure."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Prices of one lifetime, in pico-dollars a token, or in relative units where nothing is billed.

    `ttl` is None where the provider caches by itself and asks for no mark. `refresh` is what reading the prefix again
    without a question costs for each of its tokens, None where nobody does that.
    """

    ttl: CacheTtl | None
    seconds: int
    plain: float
    read: float
    write: float
    refresh: float | None = None

    @property
    def break_even(self) -> float:
        """The chance of a warm prefix from which a write pays."""
        return max(0.0, (self.write - self.plain) / (self.write - self.read)) if self.write > self.read else 1.0

    def average(self, warm: float) -> float:
        """What a token of the prefix costs on average."""
        return warm * self.read + (1 - warm) * self.write

    @property
    def stay(self) -> Stay | None:
        """What it takes to keep an entry warm, where that is done."""
        return None if self.refresh is None else Stay(self.seconds, self.refresh, self.write - self.read)


LOCAL = Terms(None, AUTOMATIC_SECONDS, plain=1.0, read=LOCAL_READ, write=1.0)


def terms_of(band: Band, ttls: Sequence[CacheTtl]) -> tuple[Terms, ...]:
    """The lifetimes that a model offers; one without a mark where it caches by itself, none where it never does."""
    plain, read = band.price("input"), band.price("cache_read")
    if read < 0 or read >= plain:
        return ()
    if not ttls:
        return (Terms(None, AUTOMATIC_SECONDS, plain, read, plain),)
    return tuple(Terms(ttl, SECONDS[ttl], plain, read, band.price(f"cache_write_{ttl}")) for ttl in ttls)


@dataclass(slots=True)
class Arrivals:
    """How questions of one kind follow each other: decayed counts of gaps, and of those within each lifetime."""

    last: float | None = None
    gaps: float = 0.0
    within: dict[int, float] = field(default_factory=dict)

    def add(self, now: float) -> None:
        """A question has come."""
        if self.last is not None:
            keep = 1 - 1 / REMEMBERED
            gap = max(0.0, now - self.last)
            self.gaps = self.gaps * keep + 1
            for seconds in SECONDS.values():
                self.within[seconds] = self.within.get(seconds, 0.0) * keep + (gap < seconds)
        self.last = now if self.last is None else max(now, self.last)

    def warm(self, seconds: int) -> float:
        """The chance that the next question comes within so many seconds."""
        return (self.within.get(seconds, 0.0) + PRIOR_WITHIN) / (self.gaps + PRIOR_GAPS)

    def left(self) -> Callable[[float], float]:
        """The chance that no question has come after so many seconds."""
        return curve(self._levels)

    def kept(self, terms: Terms) -> float:
        """The chance of a warm prefix, what refreshes add to it less their own cost."""
        warm = self.warm(terms.seconds)
        return warm if terms.stay is None else min(1.0, warm + _added(self._levels, terms.stay))

    @property
    def _levels(self) -> tuple[float, ...]:
        return (1.0, *(1 - self.warm(seconds) for seconds in EDGES[1:]))


def curve(levels: Sequence[float]) -> Callable[[float], float]:
    """A chance that falls to these levels at the lifetimes, evenly at random in between.

    Nothing is known of gaps beyond the longest lifetime, so from there on the chance stays as it is.
    """
    bins = zip(pairwise(EDGES), pairwise(levels), strict=True)
    rates = [log(one / other) / (end - begin) for (begin, end), (one, other) in bins]

    def left(seconds: float) -> float:
        place = bisect_right(EDGES, seconds) - 1
        return levels[place] * exp(-rates[place] * (seconds - EDGES[place])) if place < len(rates) else levels[-1]

    return left


@lru_cache(maxsize=1024)
def _added(levels: tuple[float, ...], stay: Stay) -> float:
    """What keeping adds to the chance; a question asks several times before its own arrival changes it."""
    return kept_warm(curve(levels), stay)


@dataclass(slots=True)
class Balance:
    """What caching has cost and saved for one kind of question, in pico-dollars, and whether writes are ever read.

    `plain_pico` is what the same prompts would have cost without a prefix, `paid_pico` what they did cost, refreshes
    included; `kept_pico` is the part of the refreshes, `won_pico` what questions have saved that read thanks to them.
    `simulated` calls were billed by a simulation: `simulated_pico` of what was saved is nobody's money.
    """

    plain_pico: int = 0
    paid_pico: int = 0
    writes: int = 0
    reads: int = 0
    unread: int = 0
    tries: int = 0
    probed: float = 0.0
    refreshes: int = 0
    kept_pico: int = 0
    won_pico: int = 0
    simulated: int = 0
    simulated_pico: int = 0

    def add(self, usage: Usage, needless: int, band: Band | None, now: float, *, simulated: bool = False) -> None:
        """A call was billed; `needless` tokens of its prompt were there for other questions."""
        if band is not None:
            plain = max(0, usage.prompt - needless) * band.price("input")
            paid = band_cost(replace(usage, output=0, searches=0), band)
            self.plain_pico, self.paid_pico = self.plain_pico + plain, self.paid_pico + paid
            self._simulated(simulated, plain - paid)
        if usage.cache_read:
            self.reads, self.unread, self.tries = self.reads + 1, 0, 0
        elif usage.cache_written:
            self.writes += 1
            self.missed(now)

    def refresh(self, usage: Usage, pico: int, now: float, *, simulated: bool = False) -> None:
        """A prefix was read again without a question, for that price."""
        self.unanswered(pico, simulated=simulated)
        if not usage.cache_read:
            self.writes += bool(usage.cache_written)
            self.missed(now)

    def unanswered(self, pico: int, *, simulated: bool = False) -> None:
        """A refresh cost that much, and nothing is known of what it read."""
        self.refreshes, self.kept_pico, self.paid_pico = (
            self.refreshes + 1,
            self.kept_pico + pico,
            self.paid_pico + pico,
        )
        self._simulated(simulated, -pico)

    def _simulated(self, simulated: bool, saved_pico: int) -> None:
        if simulated:
            self.simulated, self.simulated_pico = self.simulated + 1, self.simulated_pico + saved_pico

    def missed(self, now: float) -> None:
        """A mark was set, and nothing was read."""
        self.unread += 1
        if self.unread >= UNREAD_WRITES:
            self.tries, self.probed = self.tries + 1, now

    def objection(self, now: float) -> str:
        """Why one more write should not be risked; empty where it may be."""
        if self.unread >= UNREAD_WRITES and now - self.probed < PROBE_SECONDS * 2 ** min(self.tries - 1, 8):
            return f"{self.unread} writes in a row were never read: something changes the prompt before its mark"
        if self.paid_pico - self.plain_pico > ALLOWED_LOSS * self.plain_pico:
            return "so far the prefix has cost more than it has saved"
        return ""

    def keeping_objection(self, write_pico: float) -> str:
        """Why no refresh should be risked: they may cost one write, or the usual share, beyond what they have saved."""
        if self.kept_pico - self.won_pico > max(write_pico, ALLOWED_LOSS * self.plain_pico):
            return "so far refreshes have cost more than they have saved"
        return ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The lifetime to ask for, None where it does not pay, with the reason in words."""

    terms: Terms | None
    warm: float
    reason: str


def choose_terms(offered: Sequence[Terms], arrivals: Arrivals) -> Choice:
    """The lifetime with which a token of the prefix is cheapest, where any is cheaper than plain input."""
    if not offered:
        return Choice(None, 0.0, "the model has no prompt cache")
    priced = [(terms.average(warm := arrivals.kept(terms)), terms, warm) for terms in offered]
    _, best, warm = min(priced, key=lambda it: (it[0], it[1].seconds))
    kept = best.refresh is not None and warm > arrivals.warm(best.seconds)
    if warm <= best.break_even:
        why = f"the next question comes in time with {warm:.0%}, a write pays from {best.break_even:.0%}"
        return Choice(None, warm, why)
    when = "in time, as the prefix is kept warm," if kept else f"within {best.ttl or 'the usual time'}"
    return Choice(best, warm, f"the next question comes {when} with {warm:.0%}")


class CachePolicy(Protocol):
    """Decides over marks; another one than `BreakEven` is there to be compared with it."""

    def choose(self, offered: Sequence[Terms], arrivals: Arrivals) -> Choice: ...

    def objection(self, balance: Balance, now: float) -> str:
        """Why a cold prefix is not written although it should pay; empty where it is."""
        ...

    def skips(self, needless: float, needed: float) -> bool:
        """Whether a question goes without a warm prefix that costs it `needless` more and saves it `needed`."""
        ...


class BreakEven:
    """Marks what pays, by the arrivals and the bills seen so far."""

    def choose(self, offered: Sequence[Terms], arrivals: Arrivals) -> Choice:
        return choose_terms(offered, arrivals)

    def objection(self, balance: Balance, now: float) -> str:
        return balance.objection(now)

    def skips(self, needless: float, needed: float) -> bool:
        return needless > needed
