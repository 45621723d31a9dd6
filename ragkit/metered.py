"""Embeddings of documents as purchases: each call is held before it is sent and has its own receipt after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ragkit.bill import simulated_in
from ragkit.calls.parts import RetryingEmbedder
from ragkit.calls.retry import Retrying
from ragkit.checkout import Order, checkout
from ragkit.embed import Embedded, Embedder
from ragkit.errors import RagkitError
from ragkit.nouns import Receipt, Usage

ATTEMPTS = 8
"""How often a batch is tried: nobody waits for it, and providers limit the rate of every long ingest."""


class MeteredEmbedder:
    """A priced embedder for an ingest, which has no question to charge; `usage` and `cost_pico` add up its receipts.

    A cost of None is unknown; `simulated_pico` of what is known is nobody's money. Raises `BudgetExceeded` before
    anything is sent that a budget does not hold.
    """

    def __init__(self, embedder: Embedder, retrying: Retrying, new_order: Callable[[], Order]) -> None:
        self.name = embedder.name
        self.dimensions = embedder.dimensions
        self.price_id = embedder.price_id
        self.usage = Usage()
        self.cost_pico: int | None = 0
        self.simulated_pico = 0
        self._embedder = embedder
        self._retrying = retrying.patient(ATTEMPTS)
        self._new_order = new_order

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        return await self._buy(lambda embedder: embedder.embed_documents(texts))

    async def embed_query(self, text: str) -> Embedded:
        return await self._buy(lambda embedder: embedder.embed_query(text))

    def price(self, usage: Usage) -> int:
        """What a usage that was not bought yet would cost today."""
        return self._new_order().price(self, usage)

    async def aclose(self) -> None:
        await self._embedder.aclose()

    async def _buy(self, embed: Callable[[RetryingEmbedder], Awaitable[Embedded]]) -> Embedded:
        order = self._new_order()
        try:
            async with checkout(order):
                embedded = await embed(RetryingEmbedder(self._embedder, self._retrying, order))
        except RagkitError:
            self._add(order.receipt)
            raise
        self._add(order.receipt)
        return embedded

    def _add(self, receipt: Receipt) -> None:
        self.usage = sum((event.usage for event in receipt.events), self.usage)
        self.simulated_pico += simulated_in(receipt)
        known = self.cost_pico is not None and receipt.cost_pico is not None
        self.cost_pico = (self.cost_pico or 0) + (receipt.cost_pico or 0) if known else None
