"""The generation stage over a provider that does as a script says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from pydantic import BaseModel, field_validator

from ragkit.calls.attempt import Attempt, Policy
from ragkit.calls.retry import Retrying
from ragkit.errors import AuthFailed, InvalidAnswer, NoRoute, ProviderError, RateLimited, Refused, Unavailable
from ragkit.generate import Generated, Generation
from ragkit.nouns import Completion, Model, Prefix, Prompt, Request, Route, Schema, Turn, Usage
from ragkit.provider import Piece, Started
from ragkit.structured import answer_schema
from ragkit.tokens import estimate_tokens

SMALL = Model("small-1", "one", "small", max_output=500)
LARGE = Model("large-1", "two", "large", max_output=200)
PROMPT = Prompt("system", Prefix(), "evidence", (), "question", tokens=100)
REQUEST = Request(PROMPT, SMALL, Schema("answer", {"type": "object"}), max_output=400)
BILLED = Usage(input=100, output=5)

Step = Completion | ProviderError | Started | str | Usage | float
"""What a stream does next: end, fail, send text or usage, wait."""


def done(text: str = "{}", **changes: object) -> Completion:
    return replace(Completion(text, BILLED, "end", "served", request_id="r1"), **changes)  # type: ignore[arg-type]


class Scripted:
    """Plays one list of steps per call and keeps the requests."""

    def __init__(self, name: str, *calls: list[Step]) -> None:
        self.name = name
        self.calls = list(calls)
        self.requests: list[Request] = []
        self.closed = 0

    async def complete(self, request: Request) -> Completion:
        async for piece in self.stream(request):
            if isinstance(piece, Completion):
                return piece
        raise AssertionError("the script ends without a completion")

    async def stream(self, request: Request) -> AsyncIterator[Piece]:
        self.requests.append(request)
        try:
            for step in self.calls.pop(0):
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, ProviderError):
                    raise step
                else:
                    yield step
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        return None


class Stage:
    """The stage with its providers, and everything that came out of it."""

    def __init__(self, *providers: Scripted, policy: Policy | None = None, repairs: int = 1) -> None:
        self.attempts: list[Attempt] = []
        self.heard: list[str] = []
        retrying = Retrying(policy or Policy(backoff=0), chance=lambda: 0.0)
        self.generation = Generation({provider.name: provider for provider in providers}, retrying, repairs)

    async def run(
        self, *fallbacks: Model, validate: Callable[[Completion], str] | None = None, streamed: bool = False
    ) -> Generated[str]:
        return await self.generation.run(
            REQUEST,
            Route(SMALL, 0.2, "plain question", fallbacks),
            validate=validate or (lambda completion: completion.text),
            record=self.attempts.append,
            on_text=self.heard.append if streamed else None,
        )

    def rows(self) -> list[tuple[str, str, Usage | None, str]]:
        return [(a.kind, a.model, a.usage, a.reason) for a in self.attempts]


def busy() -> RateLimited:
    return RateLimited("slow", usage=Usage())


def must_be_fixed(completion: Completion) -> str:
    if completion.text != "fixed":
        raise InvalidAnswer("statements is missing.")
    return completion.text


async def test_an_answer_with_its_attempt() -> None:
    stage = Stage(Scripted("one", [done(lane="flex", reported_pico=7)]))
    generated = await stage.run()
    assert (generated.value, generated.model) == ("{}", SMALL)
    (attempt,) = stage.attempts
    assert (attempt.kind, attempt.reason, attempt.usage, attempt.outcome) == (
        "generate",
        "plain question",
        BILLED,
        "ok",
    )
    assert (attempt.outcome, attempt.lane, attempt.request_id, attempt.reported_pico) == ("ok", "flex", "r1", 7)


async def test_the_fallback_gets_its_own_model_and_limit() -> None:
    one, two = Scripted("one", [busy()], [busy()]), Scripted("two", [done()])
    generated = await Stage(one, two).run(LARGE)
    assert generated.model == LARGE
    assert [request.max_output for request in one.requests] == [400, 400]
    assert [(request.model, request.max_output) for request in two.requests] == [(LARGE, 200)]


async def test_a_provider_that_is_not_configured_is_named() -> None:
    with pytest.raises(NoRoute, match="model 'large-1' needs the provider 'two'"):
        await Stage(Scripted("one", [done()])).run(LARGE)


async def test_an_invalid_answer_is_sent_back_once_and_both_are_recorded() -> None:
    one = Scripted("one", [done("broken")], [done("fixed")])
    stage = Stage(one)
    assert (await stage.run(validate=must_be_fixed)).value == "fixed"
    assert stage.rows() == [
        ("generate", "small-1", BILLED, "plain question"),
        ("repair", "small-1", BILLED, "repair"),
    ]
    first, second = one.requests
    assert second.prompt is first.prompt, "a cached prefix stays valid"
    assert second.repair == (
        Turn("assistant", "broken"),
        Turn(
            "user",
            "That answer is not valid: statements is missing. Give the whole answer again, as JSON in the schema.",
        ),
    )


class Warranty(BaseModel):
    """A caller's model with a validator of its own, as people write them for instructor."""

    years: int

    @field_validator("years")
    @classmethod
    def _plausible(cls, value: int) -> int:
        if value > 20:
            raise ValueError("no warranty is longer than 20 years, read again")
        return value


async def test_a_model_s_own_validator_says_what_to_repair() -> None:
    def answer(years: int) -> Completion:
        draft = {"abstained": False, "reason": "", "statements": [], "data": {"years": years}}
        return done(json.dumps(draft))

    one = Scripted("one", [answer(70)], [answer(7)])
    parsed = answer_schema(Warranty)
    stage = Stage(one)
    generated = await stage.run(validate=lambda completion: json.dumps(parsed.parse(completion.text).data))
    assert generated.value == '{"years": 7}'
    assert "no warranty is longer than 20 years, read again" in one.requests[1].repair[1].text
    assert [(attempt.kind, attempt.usage) for attempt in stage.attempts] == [("generate", BILLED), ("repair", BILLED)]


async def test_an_answer_that_stays_invalid_is_an_error() -> None:
    stage = Stage(Scripted("one", [done("broken")], [done("still broken")]))
    with pytest.raises(InvalidAnswer, match="statements is missing"):
        await stage.run(validate=must_be_fixed)
    assert len(stage.attempts) == 2


async def test_repairs_can_be_forbidden() -> None:
    stage = Stage(Scripted("one", [done("broken")]), repairs=0)
    with pytest.raises(InvalidAnswer):
        await stage.run(validate=must_be_fixed)
    assert len(stage.attempts) == 1


async def test_an_empty_answer_is_sent_back_as_a_turn_that_providers_take() -> None:
    one = Scripted("one", [done(" ")], [done("fixed")])
    await Stage(one).run(validate=must_be_fixed)
    assert one.requests[1].repair[0] == Turn("assistant", "{}")


async def test_the_repair_asks_the_model_that_failed_first() -> None:
    one, two = Scripted("one", [busy()], [busy()]), Scripted("two", [done("broken")], [done("fixed")])
    stage = Stage(one, two)
    assert (await stage.run(LARGE, validate=must_be_fixed)).model == LARGE
    assert [(a.kind, a.model) for a in stage.attempts] == [
        ("generate", "small-1"),
        ("generate", "small-1"),
        ("generate", "large-1"),
        ("repair", "large-1"),
    ]


async def test_a_refusal_is_billed_and_final() -> None:
    stage = Stage(Scripted("one", [done("I can't", stop="refusal")]), Scripted("two"))
    with pytest.raises(Refused, match="'small-1' refuses to answer") as caught:
        await stage.run(LARGE)
    assert caught.value.usage == BILLED
    assert [a.usage for a in stage.attempts] == [BILLED]


async def test_a_cut_answer_is_neither_repaired_nor_asked_for_again() -> None:
    stage = Stage(Scripted("one", [done('{"statements": [', stop="length")]))
    with pytest.raises(InvalidAnswer, match=r"cut at 400 tokens: raise answer\.max_output"):
        await stage.run()
    assert len(stage.attempts) == 1


async def test_a_wrong_key_is_not_tried_elsewhere() -> None:
    two = Scripted("two", [done()])
    with pytest.raises(AuthFailed):
        await Stage(Scripted("one", [AuthFailed("key", usage=Usage())]), two).run(LARGE)
    assert two.requests == []


async def test_text_is_streamed_and_the_result_is_the_same() -> None:
    one = Scripted("one", ["", "{", Usage(input=100, output=1), "}", done()])
    stage = Stage(one)
    generated = await stage.run(streamed=True)
    assert (stage.heard, generated.completion, one.closed) == (["{", "}"], done(), 1)
    assert [(a.usage, a.estimated) for a in stage.attempts] == [(BILLED, False)]


async def test_a_stream_that_fails_before_its_first_text_is_tried_again() -> None:
    stage = Stage(Scripted("one", ["", Usage(input=100), busy()], ["{}", done()]))
    await stage.run(streamed=True)
    assert stage.heard == ["{}"]
    assert [a.outcome for a in stage.attempts] == ["RateLimited", "ok"]


async def test_a_stream_that_fails_after_its_first_text_is_not_begun_anew() -> None:
    one, two = Scripted("one", ["first half ", Unavailable("cut")]), Scripted("two", ["other", done()])
    stage = Stage(one, two)
    with pytest.raises(Unavailable, match="cut"):
        await stage.run(LARGE, streamed=True)
    assert stage.heard == ["first half "]
    (attempt,) = stage.attempts
    assert (attempt.usage, attempt.estimated) == (Usage(input=100, output=estimate_tokens("first half ")), True)


async def test_a_cut_stream_costs_what_was_reported_or_what_came_whichever_is_more() -> None:
    reported = Usage(input=20, cache_read=80, output=40)
    stage = Stage(Scripted("one", [reported, "text", Unavailable("cut")]))
    with pytest.raises(Unavailable):
        await stage.run(streamed=True)
    assert [(a.usage, a.estimated) for a in stage.attempts] == [(reported, True)]


async def test_a_call_that_was_not_streamed_has_no_estimate() -> None:
    stage = Stage(Scripted("one", [Unavailable("cut")], [Unavailable("cut")]))
    with pytest.raises(Unavailable):
        await stage.run()
    assert [a.usage for a in stage.attempts] == [None, None]


async def test_a_stream_that_stops_moving_is_ended() -> None:
    one = Scripted("one", ["first", 60.0])
    stage = Stage(one, policy=Policy(idle=0.05))
    with pytest.raises(Unavailable, match="one stopped in the middle of its answer"):
        await stage.run(streamed=True)
    assert one.closed == 1
    assert [a.estimated for a in stage.attempts] == [True]


async def test_a_stream_may_be_silent_before_its_first_text_up_to_the_timeout() -> None:
    stage = Stage(Scripted("one", [0.1, "{}", done()]), policy=Policy(idle=0.01))
    assert (await stage.run(streamed=True)).value == "{}"


async def test_a_stream_that_ends_without_a_result_is_an_error() -> None:
    stage = Stage(Scripted("one", ["text"]))
    with pytest.raises(Unavailable, match="ended its stream without a result"):
        await stage.run(streamed=True)


async def test_a_repair_is_not_streamed() -> None:
    stage = Stage(Scripted("one", ["broken", done("broken")], ["fixed", done("fixed")]))
    assert (await stage.run(validate=must_be_fixed, streamed=True)).value == "fixed"
    assert stage.heard == ["broken"]


async def cancelled_after(stage: Stage, seconds: float) -> None:
    task = asyncio.create_task(stage.run(streamed=True))
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_hears_nothing_more_and_the_price_is_exact() -> None:
    one = Scripted("one", ["first ", 0.1, "second", done()])
    stage = Stage(one)
    await cancelled_after(stage, 0.03)
    assert stage.heard == ["first "]
    assert [(a.outcome, a.usage, a.estimated) for a in stage.attempts] == [("cancelled", BILLED, False)]
    assert one.closed == 1


async def test_a_caller_that_leaves_a_long_answer_pays_the_estimate() -> None:
    begun = Usage(input=30, cache_read=70, output=1)
    one = Scripted("one", [Started("r-7"), begun, "twelve bytes", 60.0, done()])
    stage = Stage(one, policy=Policy(drain=0.05))
    await cancelled_after(stage, 0.03)
    (attempt,) = stage.attempts
    output = estimate_tokens("twelve bytes")
    assert output > 1
    assert (attempt.usage, attempt.estimated) == (Usage(input=30, cache_read=70, output=output), True)
    assert attempt.request_id == "r-7"
    assert one.closed == 1


async def test_one_deadline_covers_answer_and_repair() -> None:
    stage = Stage(Scripted("one", [0.1, done("broken")], [0.1, done("fixed")]), policy=Policy(deadline=0.15))
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(Unavailable, match="did not answer within"):
        await stage.run(validate=must_be_fixed)
    assert loop.time() - began < 0.5
    assert [(a.kind, a.usage) for a in stage.attempts] == [("generate", BILLED), ("repair", None)]
