"""Money around a question: held before anything is sent, settled or released when it ends, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from itertools import count, repeat

from ragkit.bill import Bill, Marks
from ragkit.bound import Call, largest_output, rerank_usage, worst_call
from ragkit.budget import Standing, bar, barring, pressure
from ragkit.calibration import Calibrations
from ragkit.calls.attempt import Attempt
from ragkit.calls.parts import Part
from ragkit.errors import BudgetExceeded, LedgerError, RagkitError
from ragkit.ledger import Hold, Ledger, Purchase, hold_name
from ragkit.models import Catalogue, ModelSpec
from ragkit.nouns import Account, Event, Hit, Lane, Model, Pressure, Prompt, Receipt, Request, Tier, Usage
from ragkit.rerank import passage
from ragkit.savings import Counterfactual
from ragkit.tokens import Size, estimate_tokens, measure, raised, upper_bound_tokens

SHORTEST_OUTPUT = 256
"""Output tokens below which an answer is not worth buying: it would be cut."""
GATEWAY = "gateway"  # behind one, a model may write an unmarked prompt to its cache: only OpenAI's API is told not to
FRAME_TOKENS = 16
"""What an embedder or a reranker adds to each text: marks of its beginning and end, and what it is for."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays, with which prices and token counts; `regions` of providers that charge by where they compute."""

    ledger: Ledger
    catalogue: Catalogue
    account: Account
    at: datetime
    max_cost_pico: int | None = None
    regions: Mapping[str, str] = field(default_factory=dict)
    calibrations: Calibrations | None = None

    def spec(self, price_id: str) -> ModelSpec:
        """A model's facts, with token factors as they were learnt."""
        return self.catalogue.model(price_id) if self.calibrations is None else self.calibrations.spec(price_id)


class Order:
    """A question on its way: what is held for it, what was charged, and what it would have cost without any lever.

    Without a counterfactual nothing is compared, as where documents are embedded.
    With `named` the names of its holds follow from the receipt's, for `Ledger.fate`.
    Every attempt to call a model gets a hold of its own at its worst plausible cost, so that retries, fallbacks and
    repairs can neither overshoot a budget nor keep money from others that they may never need.
    """

    def __init__(
        self,
        payer: Payer,
        receipt_id: str,
        counterfactual: Counterfactual | None,
        holds: Sequence[Hold] = (),
        *,
        named: bool = False,
    ) -> None:
        self._payer = payer
        self._bill = Bill(payer.catalogue, receipt_id=receipt_id, at=payer.at, account=payer.account)
        self._counterfactual = counterfactual
        self._holds = list(holds)
        self._spare: Hold | None = None
        self._receipt: Receipt | None = None
        self._handed_over = False
        self._barred: Standing | None = None
        self._sent = Size()
        self._names = map(partial(hold_name, receipt_id), count()) if named else repeat(None)

    @property
    def receipt(self) -> Receipt:
        """The receipt, once the order is closed."""
        if self._receipt is None:
            raise RuntimeError("an order has a receipt when it is closed")
        return self._receipt

    async def pressure(self) -> Pressure:
        """What the budgets ask of this question; where they want only what is free, nothing can be bought from now on.

        Budgets of single models press nobody: where one of them is used up another model is asked.
        """
        found = await self._payer.ledger.standings(Purchase(self._payer.account, 0, ""))
        standings = [standing for standing in found if standing.charge.budget.scope != "model"]
        self._barred = barring(standings)
        return pressure(standings)

    def check_open(self) -> None:
        """Raises `BudgetExceeded` where the budgets let nothing be bought."""
        if self._barred is not None:
            raise bar(self._barred)

    async def admit_embedding(self, part: Part, texts: Sequence[str]) -> None:
        """Hold money for one attempt to embed texts."""
        if part.price_id is not None:
            usage = Usage(input=sum(self.most_tokens(part.price_id, text) for text in texts))
            await self._hold(self.price(part, usage), part.price_id)

    async def admit_rerank(self, part: Part, question: str, hits: Sequence[Hit]) -> None:
        """Hold money for one attempt to rerank hits."""
        if part.price_id is not None:
            texts = (question, *(passage(hit.chunk) for hit in hits))
            asked, *documents = (self.most_tokens(part.price_id, text) for text in texts)
            usage = rerank_usage(part.price_id, asked, documents, self._payer.catalogue, self._payer.at)
            await self._hold(self.price(part, usage), part.price_id)

    async def admit(self, request: Request) -> Request:
        """Hold money for one attempt; the answer is kept shorter if only that fits. Raises `BudgetExceeded`."""
        model, payer = request.model, self._payer
        call, self._sent = self._sized(request)
        if model.price_id is None:
            return request
        try:
            await self._hold(worst_call(call, payer.catalogue, payer.at), model.price_id, call.lane)
        except BudgetExceeded as error:
            shorter = largest_output(call, error.left_pico, payer.catalogue, payer.at)
            if shorter < SHORTEST_OUTPUT:
                raise
            call = replace(call, max_output=shorter)
            await self._hold(worst_call(call, payer.catalogue, payer.at), model.price_id, call.lane)
        return request if call.max_output == request.max_output else replace(request, max_output=call.max_output)

    async def admit_amount(self, model: Model, pico: int) -> None:
        """Hold an amount for something beside an answer, such as the rent of a cache."""
        await self._hold(pico, model.price_id or model.id)

    def charge_amount(self, event: Event) -> None:
        """Charge what carries its own cost."""
        self._note(self._bill.add(event))

    def head_tokens(self, request: Request) -> int:
        """The most tokens that instructions and prefix can have for a request's model."""
        spec = self._payer.spec(request.model.price_id or request.model.id)
        return sum(upper_bound_tokens(text, spec) for text in (request.prompt.system, request.prompt.prefix.text))

    def bound(self, request: Request) -> int:
        """The worst plausible cost of one attempt, in pico-dollars."""
        return worst_call(self.call(request), self._payer.catalogue, self._payer.at)

    def retrieved(self, question: str, hits: tuple[Hit, ...]) -> None:
        tokens = sum(hit.chunk.tokens for hit in hits)
        if self._counterfactual is not None:
            k, fixed = len(hits), estimate_tokens(question)
            self._counterfactual = replace(self._counterfactual, k=k, retrieved=tokens, fixed=fixed)

    def rendered(self, prompt: Prompt, tier: Tier) -> None:
        evidence = estimate_tokens(prompt.evidence)
        fixed, prefix = prompt.tokens - evidence - prompt.prefix.tokens, prompt.prefix.tokens
        if self._counterfactual is not None:
            self._counterfactual = replace(self._counterfactual, fixed=fixed, sent=evidence, prefix=prefix, tier=tier)

    def repeated(self, sizes: Mapping[str, int]) -> None:
        """The answer comes from the answer cache; `sizes` are those of the question that was paid for."""
        if self._counterfactual is not None:
            k, fixed, retrieved = sizes["k"], sizes["fixed"], sizes["retrieved"]
            self._counterfactual = replace(self._counterfactual, k=k, fixed=fixed, retrieved=retrieved, tier="cache")

    def concluded(self, *, abstained: bool) -> None:
        """The question has its outcome; one without an answer is told apart from a cheap one."""
        if abstained and self._counterfactual is not None:
            self._counterfactual = replace(self._counterfactual, abstained=abstained)

    @property
    def compared(self) -> Counterfactual | None:
        """What the receipt will be compared with, as far as it is known by now."""
        return self._counterfactual

    def price(self, part: Part, usage: Usage) -> int:
        """What a usage of this part costs on the day of the order."""
        return self._payer.catalogue.cost(usage, part.price_id, at=self._payer.at).pico

    def record_part(self, attempt: Attempt, part: Part) -> None:
        """Charge an attempt of an embedder or a reranker."""
        self._note(self._bill.record(attempt, price_id=part.price_id))

    def record(self, attempt: Attempt, model: Model, prompt: Prompt) -> None:
        """Charge an attempt of a generator."""
        evidence = estimate_tokens(prompt.evidence)
        marks = Marks(model.tier, prompt.prefix.digest, len(prompt.chunks), evidence, self._sent)
        self._note(self._bill.record(attempt, price_id=model.price_id, region=self._region(model), marks=marks))

    def hand_over(self) -> Counterfactual | None:
        """What to compare an answer with that comes later, by another order; this one then bills just what it spent.

        Its spending is overhead of that answer: compared with nothing, it is a negative saving.
        """
        compared, self._handed_over = self._counterfactual, True
        if compared is not None:
            self._counterfactual = Counterfactual.empty(compared.price_id)
        return compared

    def attach(self, error: RagkitError) -> None:
        """Hang the receipt of what was spent on an error; what was not begun has none."""
        if self._receipt is not None and self._receipt.events:
            error.receipt = self._receipt

    async def close(self, *, answered: bool) -> Receipt:
        """Settle all holds with the receipt; a question that failed before anything was sent leaves no trace.

        A failure saved nothing, whatever it cost, so its receipt compares with nothing. Every attempt that left this
        machine is on the receipt, so an empty one means just that.
        """
        ledger = self._payer.ledger
        self._receipt = self._bill.receipt(self._counterfactual if answered else None)
        if self._leaves_a_trace(self._receipt, answered=answered):
            first, *more = self._holds or [await ledger.hold(Purchase(self._payer.account, 0, ""))]
            await ledger.settle(first, self._receipt, *more)
        else:
            for hold in self._holds:
                await ledger.release(hold)
        return self._receipt

    def _leaves_a_trace(self, receipt: Receipt, *, answered: bool) -> bool:
        """Free steps of an answer that comes later, such as a local rerank, are not worth a receipt of their own."""
        if self._handed_over:
            return any(event.cost_pico != 0 for event in receipt.events)
        return answered or bool(receipt.events)

    def most_tokens(self, price_id: str, text: str) -> int:
        """The most tokens that an embedder or a reranker makes of a text."""
        return upper_bound_tokens(text, self._payer.spec(price_id)) + FRAME_TOKENS

    async def _hold(self, amount: int, model: str, lane: Lane = "standard") -> None:
        if amount == 0:
            return
        self.check_open()
        ledger, cap = self._payer.ledger, self._payer.max_cost_pico
        if (spare := self._spare) is not None:
            self._spare = None
            await ledger.release(spare)
            self._holds.remove(spare)
        left = None if cap is None else cap - self.committed_pico
        wanted = Purchase(self._payer.account, amount, model, lane, max_cost_pico=left, hold_id=next(self._names))
        self._spare = await ledger.hold(wanted)
        self._holds.append(self._spare)

    def _note(self, event: Event) -> None:
        """The latest hold is needed if its attempt cost anything; else its money is there for the next one."""
        if event.cost_pico != 0:
            self._spare = None

    @property
    def committed_pico(self) -> int:
        """What this question has cost by now; while a cost is unknown, everything that was held for it."""
        spent = self._bill.spent_pico
        return sum(hold.purchase.amount_pico for hold in self._holds) if spent is None else spent

    def _region(self, model: Model) -> str | None:
        return self._payer.regions.get(model.provider)

    def call(self, request: Request) -> Call:
        """One attempt in upper bounds of its model's tokens; that of free local work has no price."""
        return self._sized(request)[0]

    def _sized(self, request: Request) -> tuple[Call, Size]:
        """The attempt, and what it sends before any model's factor."""
        prompt, price_id = request.prompt, request.model.price_id
        turns = [turn.text for turn in (*prompt.history, *request.repair)]
        head = (prompt.system, request.schema.text, prompt.prefix.text)
        before = sum(map(measure, head), Size())
        after = sum(map(measure, (prompt.evidence, prompt.question, *turns)), Size())
        factor = Fraction(1) if price_id is None else self._payer.spec(price_id).bound
        call = Call(
            price_id,
            input=raised(after.bound, factor),
            max_output=min(request.max_output, request.model.max_output),
            prefix=raised(before.bound, factor),
            ttl=prompt.prefix.ttl if prompt.prefix.marked else None,
            lane=request.lane,
            region=self._region(request.model),
            unasked=request.model.provider == GATEWAY,
        )
        return call, before + after


@asynccontextmanager
async def checkout(order: Order) -> AsyncIterator[None]:
    """Close the order whatever ends the question; an error of ours carries the receipt of what was spent.

    That is also so where the ledger cannot take the receipt: then the holds lapse, and what they held is posted.
    """
    try:
        yield
    except BaseException as error:
        try:
            await asyncio.shield(order.close(answered=False))
        except LedgerError as unsettled:
            error.add_note(f"its receipt is not on the ledger: {unsettled}")
        if isinstance(error, RagkitError):
            order.attach(error)
        raise
    try:
        await asyncio.shield(order.close(answered=True))
    except LedgerError as error:
        order.attach(error)
        raise
