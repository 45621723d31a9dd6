"""One suite over every decisions endpoint, against the twin and its invoice."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from google import genai

from ragkit.decide import Decider, Rated, Rating
from ragkit.deciders import DECIDERS, gemini, open_decider
from ragkit.deciders import openai as openai_module
from ragkit.deciders.gemini import GeminiDecisions
from ragkit.deciders.openai import OpenAIDecisions
from ragkit.deciders.vllm import vllm
from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ConfigError,
    ProviderError,
    RateLimited,
    Unavailable,
)
from ragkit.nouns import Usage
from ragkit.settings import ProvidersSettings
from ragkit_eval.twin import Fault, RunningTwin

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-decide-do-not-show-me"
MODELS = {
    "gemini": "gemini-decision-1",
    "openai": "gpt-6-luna-decisions",
    "vllm": "twin-local-decisions",
}
LEVELS = {"plain": "one fact", "tangled": "several facts are compared"}
QUESTION = "Question: Which facts are compared when several pumps are chosen?"
NOTHING = Usage()


def rating(name: str, **changes: Any) -> Rating:
    return Rating(**{"model": MODELS[name], "instructions": "How hard is it?", "levels": LEVELS, "text": QUESTION,
                     "timeout": 5.0, **changes})  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deciders(running: RunningTwin) -> AsyncIterator[dict[str, Decider]]:
    """Made once: making an SDK's client takes its time."""
    where = {name: {"api_key": KEY, "base_url": running.base_url(name)} for name in DECIDERS}
    made = {name: open_decider(name, ProvidersSettings.model_validate(where)) for name in DECIDERS}
    yield made
    for decider in made.values():
        await decider.aclose()


@pytest.fixture(params=DECIDERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def billed(twin: RunningTwin) -> Usage:
    lines = twin.invoice.lines
    return sum((Usage(input=it.usage.get("input", 0), cache_read=it.usage.get("read", 0)) for it in lines), Usage())


async def failing(decider: Decider, asked: Rating) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await decider.rate(asked)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    return caught.value


async def test_each_level_has_its_chance_and_the_usage_is_that_of_the_invoice(
    twin: RunningTwin, deciders: dict[str, Decider], name: str
) -> None:
    rated = await deciders[name].rate(rating(name))
    assert list(rated.chances) == list(LEVELS)
    assert sum(rated.chances.values()) == pytest.approx(1, abs=0.001)
    assert rated.chances["tangled"] > rated.chances["plain"]
    assert rated.usage == billed(twin) != NOTHING
    assert rated.usage.output == 0


async def test_what_was_cached_is_told_apart(twin: RunningTwin, deciders: dict[str, Decider]) -> None:
    asked = rating("vllm", instructions="How hard is it? " * 20)
    first, second = [await deciders["vllm"].rate(asked) for _ in range(2)]
    assert first.usage.cache_read == 0 < second.usage.cache_read
    assert first.usage.prompt == second.usage.prompt
    assert first.usage + second.usage == billed(twin)


async def test_a_refusal_has_no_chances_and_is_paid_for(
    twin: RunningTwin, deciders: dict[str, Decider], name: str
) -> None:
    twin.faults.set([Fault("refusal")])
    rated = await deciders[name].rate(rating(name))
    assert rated.chances == {}
    assert rated.usage == billed(twin) != NOTHING


async def test_an_answer_without_answers_is_an_error_that_tells_what_it_cost(
    twin: RunningTwin, deciders: dict[str, Decider], name: str
) -> None:
    twin.faults.set([Fault("empty")])
    error = await failing(deciders[name], rating(name))
    assert type(error) is ProviderError
    assert error.usage == billed(twin) != NOTHING


@pytest.mark.parametrize("kind", ["malformed_json", "missing_usage", "reset"])
async def test_what_cannot_be_read_cost_nobody_knows_what(
    twin: RunningTwin, deciders: dict[str, Decider], name: str, kind: str
) -> None:
    twin.faults.set([Fault(kind)])
    assert (await failing(deciders[name], rating(name))).usage is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("auth", AuthFailed),
        ("bad_request", BadRequest),
        ("rate_limit", RateLimited),
        ("server_error", Unavailable),
        ("unavailable", Unavailable),
    ],
)
async def test_rejections_are_ours_free_and_not_asked_again(
    twin: RunningTwin, deciders: dict[str, Decider], name: str, kind: str, expected: type[ProviderError]
) -> None:
    twin.faults.set([Fault(kind, retry_after="7")])
    error = await failing(deciders[name], rating(name))
    assert type(error) is expected
    assert error.usage == NOTHING
    if isinstance(error, RateLimited | Unavailable):
        assert error.retry_after == 7
    assert len(twin.requests) == 1
    assert not twin.invoice.lines


async def test_a_model_that_does_not_decide_is_refused(
    twin: RunningTwin, deciders: dict[str, Decider], name: str
) -> None:
    assert isinstance(await failing(deciders[name], rating(name, model="no-such-model")), BadRequest)


async def test_the_levels_reach_every_endpoint_in_their_order(
    twin: RunningTwin, deciders: dict[str, Decider], name: str
) -> None:
    await deciders[name].rate(rating(name))
    sent = json.dumps(twin.last["questions"])
    assert sent.index("one fact") < sent.index("several facts")
    assert twin.last["input"] == QUESTION


async def test_vllm_gets_no_field_that_it_would_refuse(twin: RunningTwin, deciders: dict[str, Decider]) -> None:
    await deciders["vllm"].rate(rating("vllm"))
    assert set(twin.last) == {"model", "input", "questions"}
    await deciders["openai"].rate(rating("openai"))
    assert twin.last["prompt_cache_options"] == {"mode": "explicit"}


async def test_googles_own_sdk_sends_the_same(twin: RunningTwin, deciders: dict[str, Decider]) -> None:
    asked = rating("gemini")
    await deciders["gemini"].rate(asked)
    options: Any = {"base_url": twin.base_url("gemini"), "api_version": "v1beta"}
    with genai.Client(api_key=KEY, http_options=options) as client:
        wire = gemini.to_wire(asked)
        client.decisions.create(model=wire["model"], input=wire["input"], questions=wire["questions"])
    ours, theirs = twin.requests
    assert (ours.path, ours.body) == (theirs.path, theirs.body)


PAYLOAD: dict[str, Any] = {
    "model": "gpt-6-luna",
    "answers": [
        {
            "type": "score",
            "name": None,
            "score": 0.75,
            "confidence": 0.75,
            "probabilities": [
                {"label": "plain", "value": 0, "probability": 0.25},
                {"label": "tangled", "value": 1, "probability": 0.75},
            ],
        }
    ],
    "usage": {
        "input_tokens": 1500,
        "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 128},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1503,
    },
}


async def test_openais_usage_is_disjoint() -> None:
    expected = Usage(input=348, cache_read=1024, cache_write_30m=128, output=3)
    assert openai_module.from_wire(PAYLOAD, request_id="req_1") == Rated(
        {"plain": 0.25, "tangled": 0.75}, expected, "req_1"
    )


async def test_geminis_usage_is_disjoint() -> None:
    reported = {"total_input_tokens": 900, "total_cached_tokens": 300, "total_output_tokens": 2}
    assert gemini.usage_of({**reported, "total_thought_tokens": 5}) == Usage(
        input=600, cache_read=300, output=7, reasoning=5
    )


@pytest.mark.parametrize(
    "answers",
    [[], [PAYLOAD["answers"][0]] * 2, [{}], [{"type": "score"}], [{"type": "score", "probabilities": [{"label": 1}]}],
     [{"type": "score", "probabilities": [{"label": "plain", "probability": "much"}]}], None],
)  # fmt: skip
async def test_broken_answers_keep_their_bill(answers: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        openai_module.from_wire({**PAYLOAD, "answers": answers})
    assert caught.value.usage == Usage(input=348, cache_read=1024, cache_write_30m=128, output=3)


@pytest.mark.parametrize("told", [{"9": 1.0}, {"first": 1.0}, {"0": "much"}, None])
async def test_broken_places_of_levels_keep_their_bill(told: Any) -> None:
    payload = {"answers": {gemini.QUESTION: {"probabilities": told}}, "usage": {"total_input_tokens": 9}}
    with pytest.raises(ProviderError) as caught:
        gemini.from_wire(payload, tuple(LEVELS))
    assert caught.value.usage == Usage(input=9)


async def test_no_sdk_asks_again_by_itself() -> None:
    """A 500 is what SDKs like to try again."""
    seen: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.path)
        return httpx2.Response(500, json={"error": {"message": "broken", "code": 500}})

    makers: list[Callable[[httpx2.AsyncClient], Decider]] = [
        lambda http: OpenAIDecisions(KEY, http=http),
        lambda http: vllm(http=http),
        lambda http: GeminiDecisions(KEY, http=http),
    ]
    for make in makers:
        decider = make(httpx2.AsyncClient(transport=httpx2.MockTransport(respond)))
        with pytest.raises(Unavailable):
            await decider.rate(rating("openai"))
        await decider.aclose()
    assert seen == ["/v1/decisions", "/v1/decisions", "/v1beta/decisions"]


async def test_a_provider_without_the_endpoint_or_a_key_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="anthropic has no decisions endpoint"):
        open_decider("anthropic", ProvidersSettings())
    for provider in ("openai", "gemini"):
        with pytest.raises(ConfigError, match="has no key"):
            open_decider(provider, ProvidersSettings())
