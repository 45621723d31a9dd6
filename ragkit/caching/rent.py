"""Explicit caches that a provider keeps for money by the hour: rented while that pays, renewed by the questions.

Implicit caches cost nothing to keep, but are gone after a few minutes. In between lie rates of questions at which a
rented cache pays: often enough for its rent, not so often that the implicit one would never grow cold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, log
from typing import Protocol

from ragkit.bill import SIMULATED, is_simulated
from ragkit.caching.policy import AUTOMATIC_SECONDS, SECONDS, Arrivals, Terms
from ragkit.checkout import Order
from ragkit.errors import BudgetExceeded, ProviderError
from ragkit.models import Catalogue
from ragkit.nouns import Event, Request, Usage

RENT = {"pro": 4_500_000, "flash": 1_000_000}
"""Pico-dollars per token and hour. Recalled, not listed: hence rented only where that is asked for."""
TERM = SECONDS["30m"]
"""Seconds that are paid in advance; a question renews them when half of them are over."""
CLEARLY = 1.25
"""How far what is saved must exceed the rent."""
EARLY = 15
"""Seconds before its end from which a cache is not named any more."""


@dataclass(frozen=True, slots=True)
class Rented:
    """A cache at the provider, `tokens` long."""

    name: str
    tokens: int


class Landlord(Protocol):
    """A provider that rents caches. Raises `ProviderError`."""

    async def rent(self, request: Request, seconds: int) -> Rented:
        """Store the head of a request's prompt; from then on its requests name it."""
        ...

    async def renew(self, request: Request, seconds: int) -> None: ...

    def forget(self, request: Request) -> None:
        """Name the cache no more; it ends by itself."""
        ...


def rent_of(model: str) -> int:
    """Pico-dollars per token and hour."""
    return RENT["pro" if "pro" in model or "argon" in model else "flash"]


def pays(arrivals: Arrivals, terms: Terms, rent: int) -> bool:
    """Whether reads that would otherwise come too late save more in an hour than the rent of an hour."""
    late = 1 - arrivals.warm(AUTOMATIC_SECONDS)
    return _hourly(arrivals) * late * (terms.plain - terms.read) > CLEARLY * rent


def rented(arrivals: Arrivals, terms: Terms, rent: int) -> Terms:
    """What a token costs in a rented cache, its share of the rent added to what a read costs."""
    return replace(terms, seconds=TERM, read=terms.read + rent / _hourly(arrivals))


def _hourly(arrivals: Arrivals) -> float:
    """Questions an hour, as far as half an hour without any tells."""
    return -log(min(0.999, max(1e-3, 1 - arrivals.warm(TERM)))) * 3600 / TERM


class Renting:
    """Which prefixes are rented until when. `clock` gives seconds since 1970."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._held: dict[tuple[str, str], tuple[float, Rented]] = {}
        self._busy: set[tuple[str, str]] = set()

    async def ensure(self, request: Request, landlord: Landlord, order: Order, wanted: bool) -> None:
        """Rent or renew the cache of a request's prefix where that pays; a question goes on without one, too."""
        key = (request.model.id, request.cache_key)
        until, kept = self._held.get(key, (0.0, Rented("", 0)))
        left = until - self._clock()
        if left < EARLY:
            landlord.forget(request)
        if not wanted or key in self._busy or left > TERM / 2:
            return
        self._busy.add(key)
        try:
            if left < EARLY:
                self._held[key] = await self._rent(request, landlord, order)
            else:
                self._held[key] = await self._renew(request, landlord, order, until, kept)
        except (BudgetExceeded, ProviderError):
            self._held.pop(key, None)
            landlord.forget(request)
        finally:
            self._busy.discard(key)

    async def _rent(self, request: Request, landlord: Landlord, order: Order) -> tuple[float, Rented]:
        """Tokens are billed once as input, then by the time that they are kept."""
        most = order.head_tokens(request)
        await order.admit_amount(request.model, self._stored(request, most) + _rent(request, most, TERM))
        begin = self._clock()
        with _noted(request, order):
            made = await landlord.rent(request, TERM)
        price = self._stored(request, made.tokens) + _rent(request, made.tokens, TERM)
        order.charge_amount(_event(request, Usage(input=made.tokens), price, f"kept for {TERM} s", made))
        return begin + TERM, made

    async def _renew(
        self, request: Request, landlord: Landlord, order: Order, until: float, kept: Rented
    ) -> tuple[float, Rented]:
        end = self._clock() + TERM
        price = _rent(request, kept.tokens, ceil(end - until))
        await order.admit_amount(request.model, price)
        with _noted(request, order):
            await landlord.renew(request, TERM)
        order.charge_amount(_event(request, Usage(), price, f"kept for another {end - until:.0f} s", kept))
        return end, kept

    def _stored(self, request: Request, tokens: int) -> int:
        at = datetime.fromtimestamp(self._clock(), UTC)
        return self._catalogue.cost(Usage(input=tokens), request.model.price_id, at=at).pico


def _rent(request: Request, tokens: int, seconds: int) -> int:
    """Whole seconds and whole pico-dollars, a begun one counted in full."""
    return -(-rent_of(request.model.id) * tokens * seconds // 3600)


@contextmanager
def _noted(request: Request, order: Order) -> Iterator[None]:
    """A call that broke off may have bought something: its cost is unknown unless the provider says that it is none."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, ProviderError) or error.usage is None:
            order.charge_amount(_event(request, Usage(), None, f"broke off: {type(error).__name__}"))
        raise


def _event(request: Request, usage: Usage, pico: int | None, reason: str, kept: Rented | None = None) -> Event:
    """The rent is computed from the time that was asked for; the provider counts it by its own clock."""
    prefix, tier = request.prompt.prefix.digest, request.model.tier
    reason = SIMULATED + reason if kept is not None and is_simulated(kept.name) else reason
    return Event("store", request.model.id, usage, pico, 0.0, reason, estimated=True, tier=tier, prefix=prefix)
