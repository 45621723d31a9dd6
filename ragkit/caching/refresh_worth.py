"""When a prefix that grows cold between questions is worth keeping warm by reading it again: pure, from numbers alone.

An entry lives for T seconds after it was last read. Read it again every t = T - `lead` seconds and it never ends; each
of these refreshes costs c per token, and the question that finds it warm thanks to them pays r for a token instead of
w, so that it saves w - r. Let S(a) be the chance that no question has come a seconds after the last one. The n-th
refresh is due at n t, and is paid for only if no question has come by then; it covers the time from n t + `lead`, when
the entry would have ended, until (n + 1) t + `lead`. Up to and including the n-th, refreshes cost and save

    cost(n)  = c       (S(t) + S(2 t) + ... + S(n t))
    worth(n) = (w - r) (S(t + lead) - S((n + 1) t + lead))

on average, both divided by S(a) where a seconds have gone by already. Refreshing pays if worth(n) > 1.25 cost(n) for
any n: then the refreshes until the next question cost less than writing the prefix again at it. The quarter is for
arrivals that are not what they were. The question is asked anew before each refresh, with the time that has gone by,
so refreshing ends by itself when the evening comes: what is left of S then are the gaps that last until the morning.

Where questions come at random, L a second, S(a) = exp(-L a) and all refreshes are alike: each is worth the chance
h = 1 - exp(-L t) that a question comes before the next one (the lead left out), so that it pays from
h = 1.25 c / (w - r) on. With a read at a twentieth of plain input that is 3 % for an hour's entry, which costs twice
as much to write: one question in thirty hours is enough.

It also moves the break-even of a first write: a prefix that is kept is warm with the chance p + S(t) g / (w - r), where
p is the chance that a question comes in time without it and g the best of worth - cost after the first t seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ragkit.money import format_usd

CLEARLY = 1.25
"""How far what is saved must exceed what refreshes cost."""
CLOSELY = 0.01
"""The share of a write to which the best number of refreshes is looked for."""
LONGEST = 12 * 3600
"""Seconds after the last question beyond which nothing is known of the next one, so nothing is kept."""
LEAST_OUTPUT = {"anthropic": 1, "openai": 0, "openai-chat": 16}
"""Output tokens of the shortest request that reads a prefix, by provider; the caches of others are not kept warm.

Anthropic takes no `max_tokens` of 0 beside a schema, and without the schema the prefix would be another one. OpenAI's
Responses have `prewarm`, which writes nothing; Chat Completions have no such thing, and 16 is a limit that all take.
"""
TAIL = 16
"""Tokens behind the prefix in a refresh: a question that asks nothing."""
LONGEST_LEAD = 60.0
"""The most seconds before its end at which an entry is read again."""
FORGIVEN = 7 * 86_400
"""Seconds after which it is tried anew to keep what a provider had forgotten although it was read in time."""


@dataclass(frozen=True, slots=True)
class Stay:
    """What it takes to keep an entry of so many seconds, per token of the prefix: what a refresh costs, and saves."""

    seconds: int
    refresh: float
    saved: float

    @property
    def lead(self) -> float:
        return lead_of(self.seconds)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The refreshes to be expected until the next question, or until none pays: their number, cost and worth."""

    refreshes: float
    cost: float
    worth: float

    @property
    def pays(self) -> bool:
        return self.worth > CLEARLY * self.cost

    @property
    def gain(self) -> float:
        """What is saved beyond the margin; nothing where it does not pay."""
        return max(0.0, self.worth - CLEARLY * self.cost)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to refresh, and why or why not in one sentence."""

    pays: bool
    reason: str


def lead_of(seconds: int) -> float:
    """Seconds before its end at which an entry is read again: time enough for the request."""
    return min(LONGEST_LEAD, seconds / 15)


def outlook(left: Callable[[float], float], stay: Stay, age: float) -> Outlook:
    """The number of refreshes with the best gain, from `age` seconds after the last question on; at least one.

    `left` is S: the chance that no question has come after so many seconds.
    """
    here, lead, step = left(age), stay.lead, stay.seconds - stay.lead
    best, count, cost, worth = Outlook(0.0, 0.0, 0.0), 0.0, 0.0, 0.0
    if here <= 0:
        return best
    warm, last = left(age + lead), left(LONGEST)
    while age < LONGEST:
        reached, colder = left(age) / here, left(age + lead + step)
        count, cost = count + reached, cost + reached * stay.refresh
        worth, warm = worth + (warm - colder) / here * stay.saved, colder
        if best.refreshes == 0 or worth - CLEARLY * cost > best.worth - CLEARLY * best.cost:
            best = Outlook(count, cost, worth)
        age += step
        if worth + ((warm - last) / here - CLOSELY) * stay.saved - CLEARLY * cost <= best.gain:
            return best
    return best


def kept_warm(left: Callable[[float], float], stay: Stay) -> float:
    """The chance that keeping adds to finding the prefix warm, less what refreshes cost, as the share of a write."""
    first = stay.seconds - stay.lead
    return left(first) * outlook(left, stay, first).gain / stay.saved if stay.saved > 0 else 0.0


def refresh_verdict(left: Callable[[float], float], stay: Stay, age: float, tokens: int) -> Verdict:
    """The decision for a prefix of so many tokens, in a sentence with its expected costs."""
    found = outlook(left, stay, age)
    if not found.worth:
        return Verdict(False, f"no question is known to have come more than {age:,.0f} s after the one before")
    cost, worth = (f"${format_usd(round(tokens * it / 10**6) * 10**6)}" for it in (found.cost, found.worth))
    much = f"{found.refreshes:.1f} refreshes until the next question are expected to cost {cost}"
    compared = "clearly more than that" if found.pays else "not enough more than that"
    return Verdict(found.pays, f"{much}, and writing it again {worth}: {compared}")
