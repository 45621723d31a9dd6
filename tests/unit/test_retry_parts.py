"""Embedders and rerankers behind the retry wrapper: what is tried, what is recorded, and what does not pass."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ragkit.calls.attempt import Attempt, Policy
from ragkit.calls.parts import Part, RetryingEmbedder, RetryingReranker
from ragkit.calls.retry import Retrying
from ragkit.embed import Embedded
from ragkit.errors import AuthFailed, BudgetExceeded, ProviderError, RateLimited, Unavailable
from ragkit.nouns import Chunk, Hit, Usage
from ragkit.reorder import reorder
from ragkit.rerank import Reranked

USED = Usage(input=7)
NOTHING = Usage()
Step = Embedded | Reranked | Exception | float
HITS = tuple(Hit(Chunk(f"c{n}", "d", "s", "text", 0, 4, n, 1), 1 - n / 10) for n in range(3))
ONE = Embedded(((0.6, 0.8),), USED)
TURNED = Reranked(tuple(replace(hit, score=1 - n / 10) for n, hit in enumerate(HITS[::-1])), USED)


class Scripted:
    """An embedder and a reranker that does the next step of its script; a number is seconds to wait before it."""

    dimensions = 2

    def __init__(self, *steps: Step, name: str = "acme:model", price_id: str | None = "model") -> None:
        self.name = name
        self.price_id = price_id
        self.steps = list(steps)
        self.calls = 0
        self.closed = False

    async def next(self) -> Embedded | Reranked:
        self.calls += 1
        step = self.steps.pop(0)
        if isinstance(step, float):
            await asyncio.sleep(step)
            step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        assert not isinstance(step, float)
        return step

    async def embed_documents(self, texts: Sequence[str]) -> Embedded:
        found = await self.next()
        assert isinstance(found, Embedded)
        return found

    async def embed_query(self, text: str) -> Embedded:
        return await self.embed_documents([text])

    async def rerank(self, question: str, hits: Sequence[Hit]) -> Reranked:
        found = await self.next()
        assert isinstance(found, Reranked)
        return found

    async def aclose(self) -> None:
        self.closed = True


class Buyer:
    """Keeps what it was asked and told; `purse` is how many attempts it can pay."""

    def __init__(self, purse: int = 100) -> None:
        self.purse = purse
        self.admitted: list[object] = []
        self.attempts: list[Attempt] = []

    async def admit_embedding(self, part: Part, texts: Sequence[str]) -> None:
        self.admit(list(texts))

    async def admit_rerank(self, part: Part, question: str, hits: Sequence[Hit]) -> None:
        self.admit((question, len(hits)))

    def admit(self, what: object) -> None:
        if len(self.admitted) == self.purse:
            raise BudgetExceeded("the budget is used up")
        self.admitted.append(what)

    def record_part(self, attempt: Attempt, part: Part) -> None:
        assert attempt.model == part.name
        self.attempts.append(attempt)

    @property
    def story(self) -> list[tuple[str, Usage | None, int]]:
        return [(attempt.outcome, attempt.usage, attempt.number) for attempt in self.attempts]


def retrying(**policy: float) -> Retrying:
    return Retrying(Policy(backoff=0, drain=0, **policy), chance=lambda: 0.0)  # type: ignore[arg-type]


def busy(usage: Usage | None = NOTHING) -> RateLimited:
    return RateLimited("slow down", usage=usage)


async def test_each_attempt_is_admitted_before_it_and_recorded_after() -> None:
    buyer, part = Buyer(), Scripted(busy(), ONE)
    assert await RetryingEmbedder(part, retrying(), buyer).embed_documents(["a"]) == ONE
    assert buyer.admitted == [["a"], ["a"]]
    assert buyer.story == [("RateLimited", NOTHING, 1), ("ok", USED, 2)]
    assert {attempt.kind for attempt in buyer.attempts} == {"embed"}


async def test_a_reranker_is_tried_again_too() -> None:
    buyer, part = Buyer(), Scripted(Unavailable("down"), TURNED)
    assert await RetryingReranker(part, retrying(), buyer).rerank("why?", HITS) == TURNED
    assert buyer.admitted == [("why?", 3)] * 2
    assert buyer.story == [("Unavailable", None, 1), ("ok", USED, 2)]
    assert {attempt.kind for attempt in buyer.attempts} == {"rerank"}


async def test_a_wrong_key_is_final() -> None:
    buyer, part = Buyer(), Scripted(AuthFailed("no", usage=NOTHING))
    with pytest.raises(AuthFailed):
        await RetryingEmbedder(part, retrying(), buyer).embed_query("a")
    assert (part.calls, len(buyer.attempts)) == (1, 1)


async def test_what_a_budget_does_not_hold_is_not_sent() -> None:
    buyer, part = Buyer(purse=1), Scripted(busy(), ONE)
    with pytest.raises(BudgetExceeded):
        await RetryingEmbedder(part, retrying(), buyer).embed_query("a")
    assert part.calls == 1
    assert buyer.story == [("RateLimited", NOTHING, 1)]


async def test_an_estimate_is_recorded_as_one() -> None:
    buyer, part = Buyer(), Scripted(replace(ONE, estimated=True))
    await RetryingEmbedder(part, retrying(), buyer).embed_query("a")
    assert buyer.attempts[0].estimated


@pytest.mark.parametrize(
    "vectors",
    [(), ((0.6, 0.8), (0.6, 0.8)), ((1.0,),), ((float("nan"), 1.0),), ((float("inf"), 1.0),)],
    ids=["none", "two", "short", "nan", "infinite"],
)
async def test_broken_vectors_are_paid_for_and_do_not_pass(vectors: tuple[tuple[float, ...], ...]) -> None:
    buyer, part = Buyer(), Scripted(Embedded(vectors, USED))
    with pytest.raises(ProviderError, match="acme:model returned"):
        await RetryingEmbedder(part, retrying(), buyer).embed_query("a")
    assert buyer.story == [("ProviderError", USED, 1)]


@pytest.mark.parametrize(
    "hits",
    [
        TURNED.hits[:2],
        (*TURNED.hits[:2], TURNED.hits[0]),
        TURNED.hits[::-1],
        (replace(TURNED.hits[0], score=float("nan")), *TURNED.hits[1:]),
        (replace(TURNED.hits[0], score=1.5), *TURNED.hits[1:]),
        (*TURNED.hits[:2], replace(TURNED.hits[2], score=-0.1)),
    ],
    ids=["fewer", "twice", "out of order", "nan", "above 1", "negative"],
)
async def test_a_broken_order_is_paid_for_and_does_not_pass(hits: tuple[Hit, ...]) -> None:
    buyer, part = Buyer(), Scripted(Reranked(hits, USED))
    found = await reorder("why?", HITS, RetryingReranker(part, retrying(), buyer))
    assert found.hits == HITS
    assert "order of retrieval: acme:model failed" in found.notes[0]
    assert buyer.story == [("ProviderError", USED, 1)]


async def test_without_patience_a_question_goes_on() -> None:
    buyer, part = Buyer(), Scripted(30.0, TURNED)
    found = await reorder("why?", HITS, RetryingReranker(part, retrying(), buyer, patience=0.05))
    assert found.hits == HITS
    assert "did not answer within" in found.notes[0]
    assert buyer.story == [("Unavailable", None, 1)]


async def test_a_part_on_this_machine_may_take_its_time() -> None:
    buyer, part = Buyer(), Scripted(0.2, TURNED, price_id=None)
    found = await reorder("why?", HITS, RetryingReranker(part, retrying(), buyer, patience=0.05))
    assert found.hits == TURNED.hits
    assert found.notes == ()


async def test_what_a_caller_left_is_recorded_as_unknown() -> None:
    buyer, part = Buyer(), Scripted(30.0, ONE)
    task = asyncio.create_task(RetryingEmbedder(part, retrying(), buyer).embed_query("a"))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert buyer.story == [("cancelled", None, 1)]


async def test_a_broken_provider_is_left_alone() -> None:
    gates, buyer = retrying(attempts=1, breaker_failures=2), Buyer()
    for _ in range(2):
        await reorder("why?", HITS, RetryingReranker(Scripted(Unavailable("down")), gates, buyer))
    part = Scripted(TURNED)
    found = await reorder("why?", HITS, RetryingReranker(part, gates, buyer))
    assert part.calls == 0
    assert "left alone" in found.notes[0]
    assert len(buyer.attempts) == 2


async def test_a_budget_that_holds_no_reranker_leaves_the_order_of_retrieval() -> None:
    part = Scripted(TURNED)
    found = await reorder("why?", HITS, RetryingReranker(part, retrying(), Buyer(purse=0)))
    assert found.hits == HITS
    assert found.notes == ("hits are in the order of retrieval: acme:model failed: the budget is used up",)
    assert part.calls == 0


async def test_nothing_is_reranked_without_hits_or_a_reranker() -> None:
    part = Scripted()
    assert (await reorder("why?", (), RetryingReranker(part, retrying(), Buyer()))).hits == ()
    assert (await reorder("why?", HITS, None)).hits == HITS
    assert part.calls == 0


async def test_closing_closes_what_is_within() -> None:
    for wrapper in (RetryingEmbedder, RetryingReranker):
        part = Scripted()
        await wrapper(part, retrying(), Buyer()).aclose()
        assert part.closed
