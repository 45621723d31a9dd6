"""A question from the service's side: its place in the queue, its deadline, its bill in the metrics and the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from ragkit.errors import RagkitError
from ragkit.money import format_usd, from_usd
from ragkit.nouns import Account, Answer, Hit, Query, Turn
from ragkit.present import answer_to_json
from ragkit.query import make_query
from ragkit.streaming import Found, Routed, Said, Signal
from ragkit_api import problem
from ragkit_api.attached import Emit
from ragkit_api.problem import Problem
from ragkit_api.schemas import QueryBody
from ragkit_api.service import Service
from ragkit_api.shape import model_of

Log = dict[str, Any]
"""What the line about this request in the log will say."""
Tell = Callable[[Signal | Answer], Awaitable[None]]


def query_of(body: QueryBody, account: Account, service: Service) -> Query:
    asked = make_query(body.question, service.settings, k=body.k, filters=body.filters, account=account)
    return Query(
        text=asked.text,
        account=asked.account,
        k=asked.k,
        filters=asked.filters,
        history=tuple(Turn(turn.role, turn.text) for turn in body.history),
        schema=None if body.response_schema is None else model_of(body.response_schema),
        max_cost_pico=None if body.max_cost_usd is None else from_usd(body.max_cost_usd),
    )


async def ask(service: Service, query: Query, log: Log, *, purchase: str = "") -> Answer:
    """Answer when it is this question's turn; one with a purchase of its own is waited for longer."""
    try:
        async with service.turn(query.account.tenant, patient=bool(purchase)):
            answer = await service.rag.answer(query, purchase=purchase)
    except Exception as error:
        _note_failure(service, error, log)
        raise
    _note(service, answer, log)
    return answer


async def follow(service: Service, query: Query, log: Log, tell: Tell) -> None:
    """The same, told bit by bit."""
    try:
        async with service.turn(query.account.tenant), aclosing(service.rag.stream(query)) as signals:
            async for signal in signals:
                if isinstance(signal, Answer):
                    _note(service, signal, log)
                await tell(signal)
    except Exception as error:
        _note_failure(service, error, log)
        raise


async def search(service: Service, query: Query) -> tuple[Hit, ...]:
    async with service.turn(query.account.tenant):
        filters = dict(query.filters)
        return await service.rag.search(query.text, k=query.k, filters=filters, account=query.account)


class Events:
    """Turns signals into the typed events of the API; an answer that came in one piece is said in one."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._said = False

    async def tell(self, signal: Signal | Answer) -> None:
        if isinstance(signal, Found):
            hits = [{"id": it.chunk.id, "score": round(it.score, 6), "source": it.chunk.source} for it in signal.hits]
            await self._emit("retrieval", {"chunks": hits})
        elif isinstance(signal, Routed):
            model = signal.route.model
            await self._emit("route", {"tier": model.tier, "model": model.id, "reason": signal.route.reason})
        elif isinstance(signal, Said):
            self._said = True
            await self._emit("text", {"text": signal.text})
            for citation in signal.citations:
                await self._emit("citation", asdict(citation))
        else:
            await self.finish(answer_to_json(signal))

    async def finish(self, answer: dict[str, Any]) -> None:
        """The end of a stream, also of one that repeats what was answered before."""
        if not self._said:
            await self._emit("text", {"text": answer["answer"]})
            for citation in answer["citations"]:
                await self._emit("citation", citation)
        await self._emit("receipt", answer["receipt"])
        await self._emit("done", {"complete": True, **answer})


def _note(service: Service, answer: Answer, log: Log) -> None:
    receipt = answer.receipt
    cost = None if receipt.cost_pico is None else format_usd(receipt.cost_pico)
    log.update(receipt=receipt.id, tier=answer.route.model.tier, cost_usd=cost, abstained=answer.abstained)
    service.metrics.answered(answer)
    service.spans.record(answer)


def _note_failure(service: Service, error: Exception, log: Log) -> None:
    code = problem.code(error)
    log["error"] = code
    receipt = error.receipt if isinstance(error, RagkitError) else None
    if receipt is not None:
        log["receipt"] = receipt.id
    if isinstance(error, Problem) and error.status == 503:
        service.metrics.shed.labels(code).inc()
    else:
        service.metrics.failed(code, receipt)
