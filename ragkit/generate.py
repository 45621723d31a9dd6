"""Generation as one stage: attempts, fallbacks and at most a repair, until an answer is one that its schema accepts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from ragkit.calls.attempt import Call, Meter, Record
from ragkit.calls.retry import Retrying
from ragkit.errors import InvalidAnswer, NoRoute, Refused, Unavailable
from ragkit.nouns import Completion, Model, Request, Route, Turn, Usage
from ragkit.provider import Provider, Started
from ragkit.tokens import estimate_tokens

T = TypeVar("T")
OnText = Callable[[str], None]

COMPLAINT = "That answer is not valid: {reason} Give the whole answer again, as JSON in the schema."


@dataclass(frozen=True, slots=True)
class Generated(Generic[T]):
    """A completion, what its validation made of it, and the model that wrote it."""

    completion: Completion
    value: T
    model: Model


@dataclass(frozen=True, slots=True)
class Generation:
    """Calls generators through the retry wrapper; `repairs` is how often an invalid answer is sent back.

    `admit` is asked before each attempt and may shorten its output, or raise so that nothing is sent.
    """

    providers: Mapping[str, Provider]
    retrying: Retrying
    repairs: int = 1
    admit: Callable[[Request], Awaitable[Request]] | None = None

    async def run(
        self,
        request: Request,
        route: Route,
        *,
        validate: Callable[[Completion], T],
        record: Record,
        on_text: OnText | None = None,
    ) -> Generated[T]:
        """An answer by the route's model or a fallback.

        With `on_text` the text is streamed to it; once it has seen a piece, no other attempt is made. A repair is not
        streamed: its answer replaces the one that was. Raises `Refused`, `InvalidAnswer` for an answer that was cut or
        stays invalid, or the last attempt's `ProviderError`; every attempt has been recorded by then.
        """
        until = self.retrying.clock() + self.retrying.policy.deadline
        models = (route.model, *route.fallbacks)
        for repair in range(self.repairs + 1):
            calls = [self._call(request, model, repair, on_text if repair == 0 else None) for model in models]
            reason = "repair" if repair else route.reason
            completion, sent = await self.retrying.run(calls, record, until=until, reason=reason)
            model = sent.model
            _check_stop(completion, sent, request.max_output)
            try:
                return Generated(completion, validate(completion), model)
            except InvalidAnswer as error:
                if repair == self.repairs:
                    raise
                request = _send_back(request, completion, str(error))
                models = (model, *(other for other in models if other != model))
        raise AssertionError("unreachable: repairs is not negative")

    def _call(
        self, request: Request, model: Model, repair: int, on_text: OnText | None
    ) -> Call[tuple[Completion, Request]]:
        provider = self.providers.get(model.provider)
        if provider is None:
            raise NoRoute(
                f"model '{model.id}' needs the provider '{model.provider}': configure it or choose another model"
            )
        own = replace(request, model=model, max_output=min(request.max_output, model.max_output))

        async def before() -> None:
            nonlocal own
            if self.admit is not None:
                own = await self.admit(own)

        async def run(meter: Meter, seconds: float) -> tuple[Completion, Request]:
            timed = replace(own, timeout=seconds)
            if on_text is None:
                completion = await provider.complete(timed)
            else:
                completion = await self._stream(provider, timed, meter, on_text)
            meter.answered(completion)
            return completion, own

        return Call(model.provider, model.id, run, "repair" if repair else "generate", request.lane, before)

    async def _stream(self, provider: Provider, request: Request, meter: Meter, on_text: OnText) -> Completion:
        """Pass a stream on; however it breaks off, the meter knows what it must have cost."""
        pieces, text = provider.stream(request), ""
        try:
            async with _closing(pieces):
                while True:
                    async with asyncio.timeout(self.retrying.policy.idle if text else None):
                        piece = await anext(pieces)
                    if isinstance(piece, Completion):
                        return piece
                    if isinstance(piece, Started):
                        meter.request_id = piece.request_id
                    elif isinstance(piece, Usage):
                        meter.usage, meter.estimated = piece, True
                    elif piece:
                        text += piece
                        meter.committed = True
                        if not meter.abandoned:
                            on_text(piece)
        except TimeoutError as error:
            raise Unavailable(f"{provider.name} stopped in the middle of its answer: ask again") from error
        except StopAsyncIteration as error:
            raise Unavailable(f"{provider.name} ended its stream without a result: ask again") from error
        finally:
            _estimate(meter, request, text)


@asynccontextmanager
async def _closing(pieces: AsyncIterator[object]) -> AsyncIterator[None]:
    """Close the stream, and with it the connection, as soon as nobody reads on."""
    try:
        yield
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _estimate(meter: Meter, request: Request, text: str) -> None:
    """What a stream cost that breaks off here: as reported so far, but at least the text that came."""
    if meter.usage is None and not text:
        return
    known = meter.usage or Usage(input=request.prompt.tokens)
    meter.usage, meter.estimated = replace(known, output=max(known.output, estimate_tokens(text))), True


def _check_stop(completion: Completion, sent: Request, wanted: int) -> None:
    """A refusal and a cut answer are results that were paid for; asking again would buy the same."""
    if completion.stop == "refusal":
        raise Refused(
            f"'{sent.model.id}' refuses to answer: rephrase the question or choose another model",
            usage=completion.usage,
            request_id=completion.request_id,
        )
    if completion.stop == "length":
        raise InvalidAnswer(f"the answer was cut at {sent.max_output} tokens{_why_cut(sent, wanted)}")


def _why_cut(sent: Request, wanted: int) -> str:
    """What to change: who has set the limit that was too short."""
    if sent.max_output == wanted:
        return ": raise answer.max_output"
    if sent.max_output == sent.model.max_output:
        return f", the longest that '{sent.model.id}' writes: choose another model"
    return ", all that the budget could hold: raise the budget, or ask for a shorter answer"


def _send_back(request: Request, completion: Completion, reason: str) -> Request:
    """The request with the failed answer and the complaint as two more turns, so that a cached prefix stays valid."""
    failed = Turn("assistant", completion.text if completion.text.strip() else "{}")
    return replace(request, repair=(*request.repair, failed, Turn("user", COMPLAINT.format(reason=reason))))
