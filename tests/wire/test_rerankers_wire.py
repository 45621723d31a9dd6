"""One suite over every reranker that needs no model file; those behind an API against the twin and its invoice."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cohere
import httpx
import httpx2
import pytest
import pytest_asyncio

from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ConfigError,
    ProviderError,
    RateLimited,
    SpendLimitReached,
    Unavailable,
    UnpricedModel,
)
from ragkit.models import Catalogue
from ragkit.nouns import Chunk, Hit, Usage
from ragkit.providers.rest import Rest
from ragkit.rerank import Reranked, Reranker, passage
from ragkit.rerankers import REMOTE, make_reranker
from ragkit.rerankers import cohere as cohere_module
from ragkit.rerankers import voyage as voyage_module
from ragkit.rerankers.remote import RemoteReranker
from ragkit.settings import Settings
from ragkit_eval.twin import Fault, RunningTwin

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-rerank-do-not-show-me"
QUESTION = "How long does the warranty of the pump last?"
MODELS = (
    "embedded:",
    "cohere:rerank-v5.0-pro",
    "cohere:rerank-v5.0-fast",
    "cohere:rerank-v4.0-pro",
    "cohere:rerank-v3.5",
    "voyage:rerank-3",
    "voyage:rerank-2.5-lite",
)
PAID = MODELS[1:]
NEEDLE = "c7"


def hit(number: int, text: str, **chunk: Any) -> Hit:
    piece = Chunk(f"c{number}", f"d{number}", "manual.md", text, 0, len(text), number, len(text) // 4, **chunk)
    return Hit(piece, 1 - number / 2000, sparse_rank=number + 1)


HITS = tuple(
    hit(
        number,
        "The warranty of the pump lasts seven years."
        if number == 7
        else f"Filter {number} is changed each spring, with care.",
    )
    for number in range(12)
)


def settings(name: str, base_url: str | None, key: str | None = KEY) -> Settings:
    provider, _, model = name.partition(":")
    providers = {} if provider == "embedded" else {provider: {"api_key": key, "base_url": base_url}}
    return Settings.model_validate({"reranker": {"name": provider, "model": model}, "providers": providers})


def made(name: str, twin: RunningTwin) -> Reranker:
    provider = name.partition(":")[0]
    reranker = make_reranker(settings(name, None if provider == "embedded" else twin.base_url(provider)))
    assert reranker is not None
    return reranker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rerankers(running: RunningTwin) -> AsyncIterator[dict[str, Reranker]]:
    all_of_them = {name: made(name, running) for name in MODELS}
    yield all_of_them
    for each in all_of_them.values():
        await each.aclose()


@pytest.fixture(params=MODELS)
def reranker(request: pytest.FixtureRequest, rerankers: dict[str, Reranker]) -> Reranker:
    return rerankers[request.param]


@pytest.fixture(params=PAID)
def paid(request: pytest.FixtureRequest, rerankers: dict[str, Reranker]) -> Reranker:
    return rerankers[request.param]


def invoiced(twin: RunningTwin) -> Usage:
    lines = (line.usage for line in twin.invoice.lines)
    return sum((Usage(input=usage.get("input", 0), searches=usage.get("search", 0)) for usage in lines), Usage())


async def failure(reranker: Reranker) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        await reranker.rerank(QUESTION, HITS)
    assert KEY not in "".join(traceback.format_exception(error.value))
    assert "\n" not in str(error.value)
    return error.value


async def test_the_hit_that_answers_comes_first_with_a_chance_as_its_score(
    twin: RunningTwin, reranker: Reranker
) -> None:
    ranked = await reranker.rerank(QUESTION, HITS)
    scores = [each.score for each in ranked.hits]
    assert ranked.hits[0].chunk.id == NEEDLE
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[0] > scores[1]


async def test_hits_keep_all_but_their_score(twin: RunningTwin, reranker: Reranker) -> None:
    ranked = await reranker.rerank(QUESTION, HITS)
    back = {each.chunk.id: replace(each, score=0.0) for each in ranked.hits}
    assert back == {each.chunk.id: replace(each, score=0.0) for each in HITS}


async def test_the_order_of_the_hits_does_not_matter(twin: RunningTwin, reranker: Reranker) -> None:
    first, second = await reranker.rerank(QUESTION, HITS), await reranker.rerank(QUESTION, HITS[::-1])
    assert [each.chunk for each in first.hits] == [each.chunk for each in second.hits]
    assert [each.score for each in first.hits] == pytest.approx([each.score for each in second.hits])


async def test_one_hit_and_none(twin: RunningTwin, reranker: Reranker) -> None:
    assert [each.chunk.id for each in (await reranker.rerank(QUESTION, HITS[7:8])).hits] == [NEEDLE]
    assert await reranker.rerank(QUESTION, ()) == Reranked(())


async def test_calls_may_run_at_once(twin: RunningTwin, reranker: Reranker) -> None:
    one, *others = await asyncio.gather(*(reranker.rerank(QUESTION, HITS) for _ in range(8)))
    assert all(other == one for other in others)


async def test_usage_is_what_the_twin_invoices_and_has_a_price(twin: RunningTwin, reranker: Reranker) -> None:
    usage = (await reranker.rerank(QUESTION, HITS)).usage
    assert usage == invoiced(twin)
    assert Catalogue.load().cost(usage, reranker.price_id, at=datetime.now(UTC)).pico == twin.invoice.total_pico


async def test_versions_before_5_are_billed_by_search(twin: RunningTwin, paid: Reranker) -> None:
    usage = (await paid.rerank(QUESTION, HITS)).usage
    searched = "v4" in paid.name or "v3" in paid.name
    assert (usage.searches, usage.input > 0) == ((1, False) if searched else (0, True))


async def test_a_chunk_is_read_under_its_headings(twin: RunningTwin, paid: Reranker) -> None:
    titled = hit(1, "It lasts seven years.", title="Pump", section=("Warranty", "It lasts"))
    ranked = await paid.rerank(QUESTION, (*HITS[:3], titled))
    assert twin.last["documents"][3] == passage(titled.chunk) == "Pump\nWarranty\nIt lasts seven years."
    assert ranked.hits[0].chunk == titled.chunk


async def test_more_hits_than_a_call_takes_go_out_in_several(twin: RunningTwin) -> None:
    many = tuple(hit(number, f"Text {number}.") for number in range(1005))
    reranker = made("voyage:rerank-3", twin)
    ranked = await reranker.rerank(QUESTION, (*many, HITS[7]))
    await reranker.aclose()
    assert len(twin.requests) == 2
    assert len(ranked.hits) == 1006
    assert ranked.hits[0] == replace(HITS[7], score=ranked.hits[0].score)
    assert ranked.usage == invoiced(twin)


async def test_long_hits_are_spread_over_calls(twin: RunningTwin) -> None:
    long = tuple(hit(number, "seven words that say nothing at all. " * 800) for number in range(80))
    rest = Rest("voyage", KEY, twin.base_url("voyage"))
    ranked = await RemoteReranker(voyage_module.API, rest, "rerank-3").rerank(QUESTION, long)
    await rest.aclose()
    assert len(ranked.hits) == 80
    assert len(twin.requests) > 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bad_request", BadRequest),
        ("auth", AuthFailed),
        ("billing", SpendLimitReached),
        ("permission", AuthFailed),
        ("not_found", BadRequest),
        ("rate_limit", RateLimited),
        ("server_error", Unavailable),
        ("overloaded", Unavailable),
    ],
)
@pytest.mark.parametrize("name", ["cohere:rerank-v5.0-pro", "voyage:rerank-3"])
async def test_each_rejection_has_its_type_and_bills_nothing(
    twin: RunningTwin, rerankers: dict[str, Reranker], name: str, kind: str, expected: type[ProviderError]
) -> None:
    twin.faults.set([Fault(kind, times=1)])
    error = await failure(rerankers[name])
    assert type(error) is expected
    assert (error.usage, error.sent) == (Usage(), True)
    assert twin.invoice.lines == ()


@pytest.mark.parametrize("kind", ["html_error", "reset", "malformed_json"])
async def test_what_nobody_can_read_costs_nobody_knows_what(twin: RunningTwin, paid: Reranker, kind: str) -> None:
    twin.faults.set([Fault(kind, times=1)])
    error = await failure(paid)
    assert type(error) is Unavailable
    assert (error.usage, error.sent) == (None, True)


async def test_an_answer_without_a_bill_is_estimated_never_free(twin: RunningTwin, paid: Reranker) -> None:
    twin.faults.set([Fault("missing_usage", times=1)])
    ranked = await paid.rerank(QUESTION, HITS)
    assert ranked.estimated
    assert ranked.usage.searches + ranked.usage.input > 0
    assert Catalogue.load().cost(ranked.usage, paid.price_id, at=datetime.now(UTC)).pico > 0
    assert not (await paid.rerank(QUESTION, HITS)).estimated


async def test_an_empty_answer_is_an_error_that_was_paid_for(twin: RunningTwin, paid: Reranker) -> None:
    twin.faults.set([Fault("empty", times=1)])
    error = await failure(paid)
    assert "0 of 12" in str(error)
    assert error.usage == invoiced(twin) != Usage()


@pytest.mark.parametrize("name", REMOTE)
async def test_nobody_listens(name: str) -> None:
    reranker = make_reranker(settings(f"{name}:", "http://127.0.0.1:1"))
    assert reranker is not None
    error = await failure(reranker)
    await reranker.aclose()
    assert (type(error), error.usage, error.sent) == (Unavailable, Usage(), False)


def cohere_results(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    results = [{"index": index, "relevance_score": score} for index, score in pairs]
    return {"results": results, "meta": {"billed_units": {"search_units": 1}}}


@pytest.mark.parametrize(
    ("payload", "usage"),
    [
        (cohere_results((0, 0.5)), Usage(searches=1)),
        (cohere_results((0, 0.5), (0, 0.4)), Usage(searches=1)),
        (cohere_results((0, 0.5), (2, 0.4)), Usage(searches=1)),
        (cohere_results((0, "high"), (1, 0.4)), None),
        (cohere_results((0, None), (1, 0.4)), None),
        ({"results": [{"index": 0}]}, None),
        ({}, None),
    ],
    ids=["one is missing", "twice the same", "out of range", "a word", "null", "no score", "nothing"],
)
async def test_broken_answers_are_errors_with_what_is_known_of_their_bill(payload: Any, usage: Usage | None) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=payload))
    rest = Rest("cohere", KEY, "http://cohere.test", http=httpx2.AsyncClient(transport=transport))
    with pytest.raises(ProviderError) as error:
        await RemoteReranker(cohere_module.API, rest, "rerank-v3.5").rerank(QUESTION, HITS[:2])
    assert error.value.usage == usage


async def test_the_request_is_that_of_the_sdk(twin: RunningTwin, rerankers: dict[str, Reranker]) -> None:
    await rerankers["cohere:rerank-v4.0-pro"].rerank(QUESTION, HITS)
    async with httpx.AsyncClient() as http:
        sdk = cohere.AsyncClientV2(KEY, base_url=twin.base_url("cohere"), httpx_client=http)
        texts = [passage(each.chunk) for each in HITS]
        answer = await sdk.rerank(model="rerank-v4.0-pro", query=QUESTION, documents=texts)
    ours, theirs = twin.requests
    assert (ours.path, ours.body) == (theirs.path, theirs.body)
    assert f"c{answer.results[0].index}" == NEEDLE
    assert not math.isnan(answer.results[0].relevance_score)


@pytest.mark.parametrize("name", REMOTE)
async def test_a_missing_key_says_what_to_set(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name.upper()}_API_KEY"):
        make_reranker(settings(f"{name}:", None, key=None))


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("cohere:rerank-v9", UnpricedModel, "rerank-v9"),
        ("cohere:rerank-3", ConfigError, r"rerank-v5\.0-pro"),
        ("voyage:voyage-4", ConfigError, "rerank-3-lite"),
        ("bm25:", ConfigError, "embedded, bge, fastembed, cohere, voyage and none"),
    ],
)
async def test_a_model_that_is_no_reranker_of_the_provider(name: str, error: type[Exception], said: str) -> None:
    wanted = (
        settings(name, None) if not name.startswith("bm25") else Settings.model_validate({"reranker": {"name": "bm25"}})
    )
    with pytest.raises(error, match=said):
        make_reranker(wanted)
