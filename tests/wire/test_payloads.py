"""Recorded shapes of answers through the real SDKs: text, usage, stops, and streams that end in the same completion."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ragkit.errors import ProviderError, RateLimited, Unavailable
from ragkit.nouns import Completion, Model, Prefix, Prompt, Request, Schema, Usage
from ragkit.provider import Piece, Provider
from ragkit.providers.anthropic import Anthropic
from ragkit.providers.gateway import gateway
from ragkit.providers.gemini import Gemini
from ragkit.providers.openai_chat import OpenAIChat
from ragkit.providers.openai_responses import OpenAIResponses
from ragkit.providers.vllm import vllm

Payload = dict[str, Any]
TEXT = '{"abstained": false, "reason": "", "statements": []}'
FILES = {file.stem: json.loads(file.read_text("utf-8")) for file in Path(__file__).with_name("payloads").glob("*.json")}
KEY = "sk-test-key"
PROTOCOLS = ("anthropic", "openai_chat", "openai_responses", "gemini")
MAKERS: dict[str, Callable[[httpx2.AsyncClient], Provider]] = {
    "anthropic": lambda http: Anthropic(KEY, http=http),
    "openai_chat": lambda http: OpenAIChat(KEY, http=http),
    "openai_responses": lambda http: OpenAIResponses(KEY, http=http),
    "gemini": lambda http: Gemini(KEY, http=http),
    "vllm": lambda http: vllm(http=http),
    "gateway": lambda http: gateway(KEY, base_url="http://gateway.test/v1", http=http),
}
REQUEST = Request(
    Prompt("Instructions.", Prefix(), "Documents: cold", (), "Question: why?"),
    Model("any-model", "any", "small"),
    Schema("answer", {"type": "object"}),
    max_output=100,
)
USAGES = {
    "anthropic": Usage(input=120, cache_read=2000, cache_write_5m=100, cache_write_1h=800, output=41, reasoning=12),
    "openai_chat": Usage(input=120, cache_read=2000, cache_write_30m=900, output=41, reasoning=12),
    "openai_responses": Usage(
        input=120, cache_read=2000, cache_write_30m=100, cache_write_12h=800, output=41, reasoning=12
    ),
    "gemini": Usage(input=1020, cache_read=2000, output=41, reasoning=12),
}


def events(payloads: list[Payload]) -> bytes:
    """Server-sent events, named by their type where they have one."""
    heads = (f"event: {payload['type']}\n" if "type" in payload else "" for payload in payloads)
    return "".join(
        f"{head}data: {json.dumps(payload)}\n\n" for head, payload in zip(heads, payloads, strict=True)
    ).encode()


class Line:
    """Answers the adapters' requests; they are made once, for making an SDK's client takes its time."""

    def __init__(self) -> None:
        self.answer = httpx2.Response(500)
        self.http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: self.answer))
        self.made: dict[str, Provider] = {}

    def provider(self, protocol: str) -> Provider:
        if protocol not in self.made:
            self.made[protocol] = MAKERS[protocol](self.http)
        return self.made[protocol]


LINE = Line()


def answering(
    protocol: str, content: Payload | list[Payload] | bytes, headers: dict[str, str] | None = None
) -> Provider:
    """The adapter, whose next request is answered with this payload, or with these events."""
    if isinstance(content, dict):
        LINE.answer = httpx2.Response(200, json=content, headers=headers)
    else:
        raw = content if isinstance(content, bytes) else events(content)
        told = {"content-type": "text/event-stream", **(headers or {})}
        LINE.answer = httpx2.Response(200, content=raw, headers=told)
    return LINE.provider(protocol)


async def heard(provider: Provider) -> list[Piece]:
    return [piece async for piece in provider.stream(REQUEST)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_text_usage_and_stop_of_an_answer(protocol: str) -> None:
    payload = FILES[protocol]
    completion = await answering(protocol, payload["complete"]).complete(REQUEST)
    assert (completion.text, completion.stop) == (TEXT, "end")
    assert completion.usage == USAGES[protocol]
    assert completion.usage.prompt + completion.usage.output == payload["usage_total"]
    assert completion.served_by != "any-model"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stream_ends_in_the_completion_of_the_unstreamed_call(protocol: str) -> None:
    payload = FILES[protocol]
    whole = await answering(protocol, payload["complete"]).complete(REQUEST)
    pieces = await heard(answering(protocol, payload["stream"]))
    assert pieces[-1] == whole
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == TEXT
    assert "" in pieces, "thinking shows a sign of life"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stream_without_its_end_is_an_error_whose_price_nobody_knows(protocol: str) -> None:
    for length in range(len(FILES[protocol]["stream"]) - 2):
        provider = answering(protocol, FILES[protocol]["stream"][:length])
        with pytest.raises(Unavailable) as caught:
            await heard(provider)
        assert caught.value.usage is None


@pytest.mark.parametrize(
    ("protocol", "case", "stop"),
    [
        ("anthropic", "refusal", "refusal"),
        ("anthropic", "length", "length"),
        ("openai_chat", "refusal", "refusal"),
        ("openai_chat", "filtered", "refusal"),
        ("openai_chat", "length", "length"),
        ("openai_responses", "refusal", "refusal"),
        ("openai_responses", "filtered", "refusal"),
        ("openai_responses", "length", "length"),
        ("gemini", "refusal", "refusal"),
        ("gemini", "blocked", "refusal"),
        ("gemini", "length", "length"),
    ],
)
async def test_stop_reasons_keep_their_bill(protocol: str, case: str, stop: str) -> None:
    completion = await answering(protocol, FILES[protocol][case]).complete(REQUEST)
    assert completion.stop == stop
    assert completion.usage.prompt == 3020


async def test_a_streamed_refusal_is_no_text() -> None:
    pieces = await heard(answering("openai_chat", FILES["openai_chat"]["refusal_stream"]))
    last = pieces[-1]
    assert isinstance(last, Completion)
    assert (last.stop, last.text) == ("refusal", "I cannot help with that.")
    assert not any(piece for piece in pieces if isinstance(piece, str))


@pytest.mark.parametrize(
    ("case", "kind", "usage"),
    [("failed", Unavailable, None), ("failed_billed", RateLimited, USAGES["openai_responses"])],
)
async def test_a_failed_response_is_an_error_with_its_bill(
    case: str, kind: type[ProviderError], usage: Usage | None
) -> None:
    with pytest.raises(kind) as caught:
        await answering("openai_responses", FILES["openai_responses"][case]).complete(REQUEST)
    assert caught.value.usage == usage


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_without_usage_is_an_error_and_not_free(protocol: str) -> None:
    payload = {name: value for name, value in FILES[protocol]["complete"].items() if "usage" not in name}
    with pytest.raises(ProviderError, match="without usage, so that the answer has no price") as caught:
        await answering(protocol, payload).complete(REQUEST)
    assert caught.value.usage is None
    assert not isinstance(caught.value, Unavailable), "asking again would buy another one"


@pytest.mark.parametrize(
    ("protocol", "path", "value"),
    [
        ("anthropic", ("usage", "cache_read_input_tokens"), -1),
        ("anthropic", ("usage", "cache_creation_input_tokens"), 10),
        ("openai_chat", ("usage", "prompt_tokens"), 100),
        ("openai_chat", ("usage", "prompt_tokens"), "many"),
        ("openai_responses", ("usage", "input_tokens"), 100),
        ("gemini", ("usageMetadata", "cachedContentTokenCount"), 4000),
        ("gemini", ("candidates",), []),
        ("openai_chat", ("choices",), None),
        ("openai_responses", ("output",), [{"type": "message"}]),
        ("anthropic", ("content",), "text"),
    ],
)
async def test_numbers_that_do_not_add_up_are_an_error(protocol: str, path: tuple[str, ...], value: Any) -> None:
    payload = json.loads(json.dumps(FILES[protocol]["complete"]))
    inner = payload
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(Unavailable, match="an answer that cannot be read"):
        await answering(protocol, payload).complete(REQUEST)


async def test_reasoning_that_is_missing_from_the_output_is_still_billed() -> None:
    payload = json.loads(json.dumps(FILES["openai_chat"]["complete"]))
    payload["usage"] |= {"completion_tokens": 29}
    completion = await answering("openai_chat", payload).complete(REQUEST)
    assert completion.usage == USAGES["openai_chat"]


async def test_writes_without_a_lifetime_have_the_usual_one() -> None:
    payload = json.loads(json.dumps(FILES["anthropic"]["complete"]))
    payload["usage"]["cache_creation"] = None
    completion = await answering("anthropic", payload).complete(REQUEST)
    assert (completion.usage.cache_write_5m, completion.usage.cache_write_1h) == (900, 0)


@pytest.mark.parametrize(
    ("usage", "headers", "pico"),
    [
        ({"cost": 1.25e-05}, {}, 12_500_000),
        ({"cost": 0}, {}, 0),
        ({}, {"x-litellm-response-cost": "0.00012500000000000003"}, 125_000_000),
        ({"cost": 1}, {"x-litellm-response-cost": "0.5"}, 500_000_000_000),
        ({"cost": "free"}, {"x-litellm-response-cost": "nan"}, None),
        ({}, {}, None),
    ],
)
async def test_a_gateway_s_own_cost_is_kept(usage: Payload, headers: dict[str, str], pico: int | None) -> None:
    payload = FILES["openai_chat"]["complete"]
    payload = payload | {"usage": payload["usage"] | usage}
    assert (await answering("gateway", payload, headers).complete(REQUEST)).reported_pico == pico


async def test_vllm_s_cache_is_read_but_never_written_for_money() -> None:
    payload = json.loads(json.dumps(FILES["openai_chat"]["complete"]))
    payload["usage"]["prompt_tokens_details"] = {"cached_tokens": 2000, "created_cache_tokens": 900}
    completion = await answering("vllm", payload).complete(REQUEST)
    assert completion.usage == Usage(input=1020, cache_read=2000, output=41, reasoning=12)


async def test_what_a_stream_has_reported_so_far_comes_between_its_pieces() -> None:
    pieces = await heard(answering("anthropic", FILES["anthropic"]["stream"]))
    reported = [piece for piece in pieces if isinstance(piece, Usage)]
    assert [(usage.prompt, usage.output) for usage in reported] == [(3020, 1), (3020, 41)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"<html>busy</html>", b"\xff\xfe"], ids=repr)
async def test_what_is_no_answer_is_an_error_whose_price_nobody_knows(protocol: str, raw: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        await answering(protocol, raw).complete(REQUEST)
    assert caught.value.usage is None
    with pytest.raises(ProviderError) as caught:
        await heard(answering(protocol, raw))
    assert caught.value.usage is None
