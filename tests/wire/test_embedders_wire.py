"""One suite over every remote embedder, against the twin and its invoice; each request beside its vendor's SDK."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import cohere
import httpx
import httpx2
import pytest
import pytest_asyncio
from google import genai
from openai import AsyncOpenAI

from ragkit.embed import Embedder
from ragkit.embedders import REMOTE, make_embedder
from ragkit.embedders import cohere as cohere_module
from ragkit.embedders import gemini as gemini_module
from ragkit.embedders import openai as openai_module
from ragkit.embedders.remote import Ask, RemoteEmbedder
from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ConfigError,
    ContextTooLong,
    ProviderError,
    RateLimited,
    SpendLimitReached,
    Unavailable,
    UnpricedModel,
)
from ragkit.models import Catalogue
from ragkit.nouns import Usage
from ragkit.providers.rest import Rest
from ragkit.settings import Settings
from ragkit_eval.twin import Fault, RunningTwin

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-embed-do-not-show-me"
TEXTS = ["The warranty of the pump lasts seven years.", "Filters are changed each spring.", "Der Motor läuft. 泵"]
QUESTION = "How long is the warranty of the pump?"
MOST = {"voyage": 1000, "cohere": 96, "openai": 2048, "gemini": 100}
USUAL = {
    "voyage": ("voyage-4", 1024),
    "cohere": ("embed-v5.0-fast", 2048),
    "openai": ("text-embedding-3-small", 1536),
    "gemini": ("gemini-embedding-2", 3072),
}


def settings(name: str, base_url: str | None, key: str | None = KEY, **embedder: Any) -> Settings:
    provider = {"api_key": key, "base_url": base_url}
    return Settings.model_validate({"embedder": {"name": name, **embedder}, "providers": {name: provider}})


def made(name: str, twin: RunningTwin, **embedder: Any) -> Embedder:
    embedded = make_embedder(settings(name, twin.base_url(name), **embedder))
    assert embedded is not None
    return embedded


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedders(running: RunningTwin) -> AsyncIterator[dict[str, Embedder]]:
    all_of_them = {name: made(name, running) for name in REMOTE}
    yield all_of_them
    for each in all_of_them.values():
        await each.aclose()


@pytest.fixture(params=REMOTE)
def embedder(request: pytest.FixtureRequest, embedders: dict[str, Embedder]) -> Embedder:
    return embedders[request.param]


def invoiced(twin: RunningTwin) -> Usage:
    return sum((Usage(input=line.usage["input"]) for line in twin.invoice.lines), Usage())


def similarity(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def failure(embedder: Embedder) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        await embedder.embed_documents(TEXTS)
    assert KEY not in "".join(traceback.format_exception(error.value))
    assert "\n" not in str(error.value)
    return error.value


async def test_vectors_are_of_unit_length_in_the_order_of_their_texts(twin: RunningTwin, embedder: Embedder) -> None:
    embedded = await embedder.embed_documents(TEXTS)
    assert [len(vector) for vector in embedded.vectors] == [embedder.dimensions] * len(TEXTS)
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-6) for vector in embedded.vectors)
    for text, vector in zip(TEXTS, embedded.vectors, strict=True):
        (alone,) = (await embedder.embed_documents([text])).vectors
        assert alone == vector


async def test_a_question_is_nearest_to_what_answers_it(twin: RunningTwin, embedder: Embedder) -> None:
    (asked,) = (await embedder.embed_query(QUESTION)).vectors
    scores = [similarity(asked, vector) for vector in (await embedder.embed_documents(TEXTS)).vectors]
    assert max(scores) == scores[0]


async def test_usage_is_what_the_twin_invoices_and_has_a_price(twin: RunningTwin, embedder: Embedder) -> None:
    usage = (await embedder.embed_documents(TEXTS)).usage + (await embedder.embed_query(QUESTION)).usage
    assert usage.input > 0
    assert usage == invoiced(twin)
    assert Catalogue.load().cost(usage, embedder.price_id, at=datetime.now(UTC)).pico == twin.invoice.total_pico


async def test_more_texts_than_a_call_takes_go_out_in_several(twin: RunningTwin, embedder: Embedder) -> None:
    most = MOST[embedder.name.partition(":")[0]]
    count = min(most + 3, 250)
    texts = [f"Text {number} about pumps." for number in range(count)]
    embedded = await embedder.embed_documents(texts)
    assert len(embedded.vectors) == count
    assert embedded.usage == invoiced(twin)
    assert len(twin.requests) == -(-count // most)
    (last,) = (await embedder.embed_documents(texts[-1:])).vectors
    assert last == embedded.vectors[-1]


async def test_halves_of_characters_do_no_harm(twin: RunningTwin, embedder: Embedder) -> None:
    (vector,) = (await embedder.embed_query("a pump \ud83d and a lamp")).vectors
    assert vector == (await embedder.embed_query("a pump ? and a lamp")).vectors[0]


async def test_no_texts_are_no_call(twin: RunningTwin, embedder: Embedder) -> None:
    assert (await embedder.embed_documents([])).vectors == ()
    assert twin.requests == []


async def test_calls_may_run_at_once(twin: RunningTwin, embedder: Embedder) -> None:
    one, *others = await asyncio.gather(*(embedder.embed_query(QUESTION) for _ in range(8)))
    assert all(other == one for other in others)


async def test_its_usual_model_and_its_name_are_told(twin: RunningTwin, embedder: Embedder) -> None:
    provider, _, model = embedder.name.partition(":")
    assert (model, embedder.dimensions) == USUAL[provider]
    assert embedder.price_id == model


@pytest.mark.parametrize("name", REMOTE)
async def test_shorter_vectors_are_asked_for_and_of_unit_length(twin: RunningTwin, name: str) -> None:
    short = made(name, twin, dimensions=256)
    (vector,) = (await short.embed_query(QUESTION)).vectors
    await short.aclose()
    assert len(vector) == short.dimensions == 256
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bad_request", BadRequest),
        ("context_too_long", ContextTooLong),
        ("auth", AuthFailed),
        ("billing", SpendLimitReached),
        ("permission", AuthFailed),
        ("not_found", BadRequest),
        ("too_large", ContextTooLong),
        ("rate_limit", RateLimited),
        ("server_error", Unavailable),
        ("unavailable", Unavailable),
        ("overloaded", Unavailable),
    ],
)
async def test_each_rejection_has_its_type_and_bills_nothing(
    twin: RunningTwin, embedder: Embedder, kind: str, expected: type[ProviderError]
) -> None:
    twin.faults.set([Fault(kind, times=1, retry_after="7" if kind == "rate_limit" else None)])
    error = await failure(embedder)
    assert type(error) is expected
    assert (error.usage, error.sent) == (Usage(), True)
    assert twin.invoice.lines == ()
    if isinstance(error, RateLimited):
        assert error.retry_after == 7


@pytest.mark.parametrize("kind", ["html_error", "reset", "malformed_json"])
async def test_what_nobody_can_read_costs_nobody_knows_what(twin: RunningTwin, embedder: Embedder, kind: str) -> None:
    twin.faults.set([Fault(kind, times=1)])
    error = await failure(embedder)
    assert type(error) is Unavailable
    assert (error.usage, error.sent) == (None, True)


async def test_an_answer_without_a_bill_is_estimated_and_says_so(twin: RunningTwin, embedder: Embedder) -> None:
    twin.faults.set([Fault("missing_usage", times=1)])
    embedded = await embedder.embed_documents(TEXTS)
    assert embedded.estimated
    assert embedded.usage.input > 0
    assert not (await embedder.embed_documents(TEXTS)).estimated


@pytest.mark.parametrize("name", REMOTE)
async def test_nobody_listens(name: str) -> None:
    embedder = make_embedder(settings(name, "http://127.0.0.1:1"))
    assert embedder is not None
    error = await failure(embedder)
    await embedder.aclose()
    assert type(error) is Unavailable
    assert (error.usage, error.sent) == (Usage(), False)
    assert f"[providers.{name}]" in str(error)


async def test_a_call_that_fails_after_another_tells_what_both_cost(
    twin: RunningTwin, embedders: dict[str, Embedder]
) -> None:
    texts = [f"text {number}" for number in range(100)]
    twin.faults.set([Fault("overloaded", nth=(2,))])
    with pytest.raises(Unavailable) as error:
        await embedders["cohere"].embed_documents(texts)
    assert error.value.usage == invoiced(twin) != Usage()
    twin.faults.set([Fault("reset", nth=(2,))])
    with pytest.raises(Unavailable) as error:
        await embedders["cohere"].embed_documents(texts)
    assert error.value.usage is None


async def test_long_texts_are_spread_over_calls(twin: RunningTwin) -> None:
    rest = Rest("openai", KEY, twin.base_url("openai"))
    embedder = RemoteEmbedder(openai_module.API, rest, "text-embedding-3-small", 1536)
    texts = ["seven words that say nothing at all. " * 700 for _ in range(60)]
    assert len((await embedder.embed_documents(texts)).vectors) == 60
    assert len(twin.requests) > 1
    await embedder.aclose()


async def test_a_text_that_is_too_long_is_an_error_that_says_so(
    twin: RunningTwin, embedders: dict[str, Embedder]
) -> None:
    with pytest.raises(ContextTooLong, match=r"lower ingest\.max_tokens"):
        await embedders["openai"].embed_documents(["long " * 9_000])


@pytest.mark.parametrize("name", REMOTE)
async def test_a_missing_key_says_what_to_set(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name.upper()}_API_KEY"):
        make_embedder(settings(name, None, key=None))


@pytest.mark.parametrize(
    ("name", "model", "error", "said"),
    [
        ("voyage", "voyage-5", UnpricedModel, "voyage-5"),
        ("voyage", "rerank-3", ConfigError, "voyage-4-large"),
        ("cohere", "voyage-4", ConfigError, "embed-v4.0"),
    ],
)
async def test_a_model_that_is_no_embedder_of_the_provider(
    name: str, model: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        make_embedder(settings(name, None, model=model))


async def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="voyage, cohere, openai, gemini"):
        make_embedder(Settings.model_validate({"embedder": {"name": "word2vec"}}))


def answering(payload: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: httpx2.Response(200, json=payload)))


def cohere_payload(vectors: Any, tokens: Any = 5) -> dict[str, Any]:
    return {"embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": tokens}}}


@pytest.mark.parametrize(
    ("payload", "usage"),
    [
        (cohere_payload([[1.0, 0.0]] * 2), Usage(input=5)),
        (cohere_payload([[1.0, 0.0, 0.0]] * 3), Usage(input=5)),
        (cohere_payload([[0.0, 0.0]] * 3), None),
        (cohere_payload([[1e400, 0.0]] * 3), None),
        (cohere_payload([["a", "b"]] * 3), None),
        (cohere_payload([[1.0, 0.0]] * 3, -5), None),
        (cohere_payload([[1.0, 0.0]] * 3, 5.5), None),
        ({"embeddings": None}, None),
        ([], None),
    ],
    ids=["too few", "too long", "zero", "infinite", "words", "negative bill", "half a token", "none", "a list"],
)
async def test_broken_answers_are_errors_with_what_is_known_of_their_bill(payload: Any, usage: Usage | None) -> None:
    rest = Rest("cohere", KEY, "http://cohere.test", http=answering(payload))
    embedder = RemoteEmbedder(cohere_module.API, rest, "embed-v4.0", 2)
    error = await failure(embedder)
    assert error.usage == usage
    assert error.sent


async def test_whole_numbers_may_be_written_as_floats_and_vectors_are_made_unit() -> None:
    rest = Rest("cohere", KEY, "http://cohere.test", http=answering(cohere_payload([[3.0, 4.0]], 5.0)))
    embedded = await RemoteEmbedder(cohere_module.API, rest, "embed-v4.0", 2).embed_query("x")
    assert embedded.vectors == ((0.6, 0.8),)
    assert (embedded.usage, embedded.estimated) == (Usage(input=5), False)


class TestBesideTheSdk:
    """The same request through the vendor's own SDK, as the twin sees it."""

    async def test_cohere(self, twin: RunningTwin, embedders: dict[str, Embedder]) -> None:
        await embedders["cohere"].embed_query(QUESTION)
        async with httpx.AsyncClient() as http:
            sdk = cohere.AsyncClientV2(KEY, base_url=twin.base_url("cohere"), httpx_client=http)
            await sdk.embed(
                model="embed-v5.0-fast",
                texts=[QUESTION],
                input_type="search_query",
                embedding_types=["float"],
                truncate="NONE",
            )
        ours, theirs = twin.requests
        assert (ours.path, ours.body) == (theirs.path, theirs.body)

    async def test_openai(self, twin: RunningTwin, embedders: dict[str, Embedder]) -> None:
        ours = await embedders["openai"].embed_documents(TEXTS)
        async with AsyncOpenAI(api_key=KEY, base_url=twin.base_url("openai"), max_retries=0) as sdk:
            theirs = await sdk.embeddings.create(model="text-embedding-3-small", input=TEXTS)
        assert twin.requests[0].path == twin.requests[1].path
        assert twin.requests[0].body == twin.requests[1].body
        assert [list(vector) for vector in ours.vectors] == [each.embedding for each in theirs.data]

    @pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2"])
    async def test_gemini(self, twin: RunningTwin, model: str) -> None:
        path, body = gemini_module.to_wire(Ask(model, "document", [TEXTS[0]], 256))
        config: dict[str, Any] = {"output_dimensionality": 256}
        if model == "gemini-embedding-001":
            config["task_type"] = "RETRIEVAL_DOCUMENT"
        sdk = genai.Client(api_key=KEY, http_options={"base_url": twin.base_url("gemini")})
        text = body["requests"][0]["content"]["parts"][0]["text"]
        sdk.models.embed_content(model=model, contents=text, config=config)  # type: ignore[arg-type]
        sdk.close()
        theirs = twin.requests[0]
        request = {**theirs.body["requests"][0], **theirs.body["requests"][0].pop("embedContentConfig", {})}
        request["content"].pop("role", None)
        request.pop("embedContentConfig", None)
        assert theirs.path == path
        assert request == body["requests"][0]
