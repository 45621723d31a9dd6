"""A question from the service's side: its place in the queue, its deadline, its bill in the metrics and the log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from ragkit.errors import ConfigError, RagkitError
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


async def ask(service: Service, query: Query, log: Log, *, patient: bool = False) -> Answer:
    """Answer when it is this question's turn."""
    begun = False
    try:
        async with service.turn(query.account.tenant, patient=patient):
            begun = True
            answer = await service.rag.answer(query)
    except Exception as error:
        if isinstance(error, Problem):
            error.begun = begun
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


async def once(
    service: Service, tenant: str, key: str, request: Any, work: Callable[[], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """The answer to a request that may be repeated: with a key of idempotency it is answered and charged once."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    stored = await service.ledger.begin(tenant, key, digest)
    if stored is not None:
        return _repeated(json.loads(stored))
    try:
        answer = await work()
    except BaseException as error:
        if isinstance(error, Exception) and _may_have_cost(error):
            failure = {"status": problem.status(error), **problem.body(error)}
            await service.ledger.finish(tenant, key, json.dumps(failure))
        else:
            await service.ledger.abandon(tenant, key)
        raise
    await service.ledger.finish(tenant, key, json.dumps({"answer": answer}))
    return answer


def _may_have_cost(error: Exception) -> bool:
    return error.begun if isinstance(error, Problem) else isinstance(error, RagkitError) and error.receipt is not None


class Repeated(Problem):
    """The error that the first request got."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status, error["code"], error["message"])


def _repeated(stored: dict[str, Any]) -> dict[str, Any]:
    if "error" in stored:
        raise Repeated(stored["status"], stored["error"])
    answer: dict[str, Any] = stored["answer"]
    return answer


def check_key(key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ConfigError("an Idempotency-Key has 1 to 255 printable characters")
    return key


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
