"""Every way to fail, through the real SDKs: the type, what was billed, the sentence, and never the key."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from ragkit.errors import (
    AuthFailed,
    BadRequest,
    ConfigError,
    ContextTooLong,
    MissingExtra,
    ProviderError,
    RateLimited,
    SpendLimitReached,
    Unavailable,
)
from ragkit.nouns import Model, Prefix, Prompt, Request, Schema, Usage
from ragkit.provider import Provider
from ragkit.providers.anthropic import Anthropic
from ragkit.providers.gemini import Gemini
from ragkit.providers.openai_chat import OpenAIChat
from ragkit.providers.openai_responses import OpenAIResponses
from ragkit.providers.registry import PROVIDERS, open_provider
from ragkit.providers.wire import retry_after
from ragkit.settings import ProvidersSettings

KEY = "sk-do-not-show-me"
NOTHING = Usage()
MAKERS: dict[str, Callable[[httpx2.AsyncClient], Provider]] = {
    "anthropic": lambda http: Anthropic(KEY, http=http),
    "openai_chat": lambda http: OpenAIChat(KEY, http=http),
    "openai_responses": lambda http: OpenAIResponses(KEY, http=http),
    "gemini": lambda http: Gemini(KEY, http=http),
}
REQUEST = Request(
    Prompt("Instructions.", Prefix(), "Documents: cold", (), "Question: why?"),
    Model("some-model", "any", "small"),
    Schema("answer", {"type": "object"}),
    max_output=100,
)
Respond = Callable[[httpx2.Request], httpx2.Response]


def body(protocol: str, kind: str, code: str | None, message: str) -> dict[str, Any]:
    """An error as the protocol shapes it."""
    if protocol == "anthropic":
        details = {"details": {"error_code": code}} if code else {}
        return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}
    if protocol == "gemini":
        reasons = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code}] if code else []
        return {"error": {"code": 0, "status": kind, "message": message, "details": reasons}}
    return {"error": {"type": kind, "message": message, "code": code, "param": None}}


def answering(status: int, content: Any, headers: dict[str, str] | None = None) -> Respond:
    if isinstance(content, str):
        return lambda request: httpx2.Response(status, html=content, headers=headers)
    return lambda request: httpx2.Response(status, json=content, headers=headers)


class Line:
    """Where the adapters' requests go; they are made once, for making an SDK's client takes its time."""

    def __init__(self) -> None:
        self.respond: Respond = answering(500, {})
        self.made: dict[str, Provider] = {}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        return self.respond(request)


LINE = Line()


def provider_of(protocol: str, respond: Respond) -> Provider:
    LINE.respond = respond
    if protocol not in LINE.made:
        LINE.made[protocol] = MAKERS[protocol](httpx2.AsyncClient(transport=httpx2.MockTransport(LINE)))
    return LINE.made[protocol]


async def failure(provider: Provider, request: Request = REQUEST) -> ProviderError:
    """The error of both ways to call, which are one."""
    with pytest.raises(ProviderError) as streamed:
        async for _ in provider.stream(request):
            pass
    with pytest.raises(ProviderError) as whole:
        await provider.complete(request)
    assert type(streamed.value) is type(whole.value)
    assert str(streamed.value) == str(whole.value)
    return whole.value


CASES: list[tuple[int, str, str | None, str, type[ProviderError]]] = [
    (400, "invalid_request_error", None, "max_tokens: must be positive", BadRequest),
    (400, "invalid_request_error", "context_length_exceeded", "too many tokens", ContextTooLong),
    (400, "invalid_request_error", None, "prompt is too long: 9 tokens > 8 maximum", ContextTooLong),
    (400, "invalid_request_error", None, "This model's maximum context length is 8 tokens.", ContextTooLong),
    (400, "INVALID_ARGUMENT", None, "The input token count (9) exceeds the maximum number of tokens", ContextTooLong),
    (401, "authentication_error", None, "invalid key", AuthFailed),
    (402, "billing_error", None, "your balance is too low", SpendLimitReached),
    (403, "permission_error", None, "not for you", AuthFailed),
    (404, "not_found_error", None, "model: some-model", BadRequest),
    (408, "timeout_error", None, "too slow", Unavailable),
    (409, "conflict_error", None, "again", Unavailable),
    (413, "request_too_large", None, "too large", ContextTooLong),
    (422, "invalid_request_error", None, "unprocessable", BadRequest),
    (429, "rate_limit_error", None, "slow down", RateLimited),
    (429, "rate_limit_error", "enforced_spend_limit_reached", "no more money", SpendLimitReached),
    (429, "insufficient_quota", "insufficient_quota", "no more money", SpendLimitReached),
    (500, "api_error", None, "broken", Unavailable),
    (502, "api_error", None, "broken", Unavailable),
    (503, "UNAVAILABLE", None, "overloaded", Unavailable),
    (504, "DEADLINE_EXCEEDED", None, "too slow", Unavailable),
    (529, "overloaded_error", None, "overloaded", Unavailable),
]


@pytest.mark.parametrize("protocol", MAKERS)
@pytest.mark.parametrize(("status", "kind", "code", "message", "expected"), CASES)
async def test_each_status_has_its_type_and_bills_nothing(
    protocol: str, status: int, kind: str, code: str | None, message: str, expected: type[ProviderError]
) -> None:
    told = body(protocol, kind, code, f"{message} {KEY}")
    error = await failure(provider_of(protocol, answering(status, told)))
    assert type(error) is expected
    assert (error.usage, error.sent) == (NOTHING, True)
    assert "\n" not in str(error)
    assert KEY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("protocol", MAKERS)
@pytest.mark.parametrize(("status", "usage"), [(502, None), (504, None), (403, NOTHING)])
async def test_a_proxy_s_page_tells_nothing_of_what_lies_behind(
    protocol: str, status: int, usage: Usage | None
) -> None:
    error = await failure(provider_of(protocol, answering(status, "<html>Bad gateway</html>")))
    assert error.usage == usage


@pytest.mark.parametrize("protocol", MAKERS)
async def test_retry_after_and_the_request_s_id_are_kept(protocol: str) -> None:
    headers = {"retry-after": "7", "request-id": "req_7", "x-request-id": "req_7"}
    error = await failure(provider_of(protocol, answering(429, body(protocol, "rate", None, "slow"), headers)))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7
    assert error.request_id == ("req_7" if protocol != "gemini" else None)


async def test_gemini_tells_the_wait_in_the_body() -> None:
    told = body("gemini", "RESOURCE_EXHAUSTED", None, "quota")
    told["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]
    error = await failure(provider_of("gemini", answering(429, told)))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 3.5


async def test_gemini_calls_a_wrong_key_a_bad_request() -> None:
    told = body("gemini", "INVALID_ARGUMENT", "API_KEY_INVALID", "API key not valid. Please pass a valid API key.")
    assert type(await failure(provider_of("gemini", answering(400, told)))) is AuthFailed


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:00 GMT", "date": "Tue, 24 Nov 2026 10:00:30 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
    ],
)
def test_a_wait_is_told_in_many_ways(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def raising(kind: type[httpx2.TransportError]) -> Respond:
    def respond(request: httpx2.Request) -> httpx2.Response:
        raise kind("no luck", request=request)

    return respond


@pytest.mark.parametrize("protocol", MAKERS)
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (httpx2.ConnectError, False),
        (httpx2.ConnectTimeout, False),
        (httpx2.PoolTimeout, False),
        (httpx2.ReadTimeout, True),
        (httpx2.ReadError, True),
        (httpx2.WriteError, True),
        (httpx2.RemoteProtocolError, True),
    ],
)
async def test_what_never_left_costs_nothing_and_the_rest_nobody_knows(
    protocol: str, kind: type[httpx2.TransportError], sent: bool
) -> None:
    error = await failure(provider_of(protocol, raising(kind)))
    assert type(error) is Unavailable
    assert (error.sent, error.usage) == (sent, None if sent else NOTHING)
    assert ("try later" if sent else "check the network and base_url") in str(error)


STREAM_ERRORS: list[tuple[str, dict[str, Any], type[ProviderError]]] = [
    ("anthropic", {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Unavailable),
    ("anthropic", {"type": "error", "error": {"type": "rate_limit_error", "message": "busy"}}, RateLimited),
    ("anthropic", {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, BadRequest),
    ("openai_chat", {"error": {"type": "server_error", "message": "busy"}}, Unavailable),
    ("openai_chat", {"error": {"type": "x", "code": "rate_limit_exceeded", "message": "busy"}}, RateLimited),
    ("openai_chat", {"error": {"type": "x", "code": "insufficient_quota", "message": "pay"}}, SpendLimitReached),
    ("openai_responses", {"type": "error", "code": "server_error", "message": "busy", "param": None}, Unavailable),
    ("openai_responses", {"type": "error", "code": "rate_limit_exceeded", "message": "busy"}, RateLimited),
    ("gemini", {"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}, Unavailable),
    ("gemini", {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "busy"}}, RateLimited),
]


@pytest.mark.parametrize(("protocol", "event", "expected"), STREAM_ERRORS)
async def test_an_error_inside_a_stream_has_a_type_and_no_known_price(
    protocol: str, event: dict[str, Any], expected: type[ProviderError]
) -> None:
    name = f"event: {event['type']}\n" if "type" in event else ""
    raw = f"{name}data: {json.dumps(event)}\n\n".encode()

    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=raw, headers={"content-type": "text/event-stream"})

    with pytest.raises(expected) as caught:
        async for _ in provider_of(protocol, respond).stream(REQUEST):
            pass
    assert caught.value.usage is None


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "anthropic does not accept the key: set another one as api_key in [providers.anthropic]"),
        (403, "anthropic does not let this key use 'some-model': allow it there or choose another model"),
        (404, "anthropic has no model 'some-model', perhaps it is retired: choose one from `ragkit prices`"),
        (402, 'anthropic wants money first: pay its bill or raise its spend limit: it says "said"'),
        (429, "anthropic limits the rate of calls: wait, or ask it for a higher limit"),
        (529, 'anthropic is overloaded or broken (HTTP 529): it says "said"'),
    ],
)
async def test_sentences_say_what_to_change(status: int, sentence: str) -> None:
    error = await failure(provider_of("anthropic", answering(status, body("anthropic", "x", None, "said"))))
    assert str(error) == sentence


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("openai", "OPENAI_API_KEY"),
        ("openai-chat", "OPENAI_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
    ],
)
def test_a_missing_key_names_the_variable(name: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"has no key: set {variable}, or api_key in"):
        open_provider(name, ProvidersSettings())


def test_a_gateway_needs_an_address_and_a_key() -> None:
    with pytest.raises(ConfigError, match=r"set base_url in \[providers\.gateway\]"):
        open_provider("gateway", ProvidersSettings())
    settings = ProvidersSettings.model_validate({"gateway": {"base_url": "http://gateway.test/v1"}})
    with pytest.raises(ConfigError, match="gateway has no key: set RAGKIT_PROVIDERS_GATEWAY_API_KEY"):
        open_provider("gateway", settings)


def test_an_unknown_provider_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="no provider is called 'antropic': did you mean 'anthropic'"):
        open_provider("antropic", ProvidersSettings())
    with pytest.raises(ConfigError, match="known are anthropic, extractive, gateway, gemini, openai"):
        open_provider("zzz", ProvidersSettings())


async def test_every_registered_provider_can_be_made() -> None:
    keyed = {"api_key": KEY, "base_url": "http://127.0.0.1:9"}
    settings = ProvidersSettings.model_validate(dict.fromkeys(("anthropic", "openai", "gemini", "gateway"), keyed))
    for name in PROVIDERS:
        provider = open_provider(name, settings)
        assert provider.name == name.removesuffix("-chat")
        await provider.aclose()


@pytest.mark.parametrize(
    ("sdk", "extra", "name"),
    [("anthropic", "anthropic", "anthropic"), ("openai", "openai", "openai"), ("google.genai", "gemini", "gemini")],
)
def test_a_missing_sdk_names_the_extra(sdk: str, extra: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, sdk, None)
    settings = ProvidersSettings.model_validate({name: {"api_key": KEY}})
    with pytest.raises(MissingExtra, match=rf"needs the extra '{extra}': pip install 'ragkit\[{extra}\]'"):
        open_provider(name, settings)


def test_adapters_load_no_sdk_before_one_is_made() -> None:
    program = """
import sys
import ragkit.generate
from ragkit.providers import anthropic, gateway, gemini, openai_chat, openai_responses, registry, vllm
loaded = {name.partition(".")[0] for name in sys.modules}
sys.exit(bool({"anthropic", "openai", "google"} & loaded))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_vertex_sends_the_token_and_says_where_to_log_in() -> None:
    from google.auth.exceptions import DefaultCredentialsError
    from google.oauth2.credentials import Credentials

    from ragkit.providers.gemini import Vertex

    seen: list[httpx2.Request] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(401, json=body("gemini", "UNAUTHENTICATED", None, "no"))

    def provider(respond: Respond) -> Gemini:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
        vertex = Vertex("project-1", "europe-west4", Credentials(token="token-1"))  # type: ignore[no-untyped-call]
        return Gemini(http=http, vertex=vertex)

    assert type(await failure(provider(respond))) is AuthFailed
    assert seen[0].headers["authorization"] == "Bearer token-1"
    assert seen[0].url.path.endswith(
        "/projects/project-1/locations/europe-west4/publishers/google/models/some-model:streamGenerateContent"
    )

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    error = await failure(provider(refuse))
    assert (type(error), error.sent) == (AuthFailed, False)
    assert "gcloud auth application-default login" in str(error)


async def test_timeouts_are_per_request() -> None:
    seen: list[dict[str, float]] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"])
        return httpx2.Response(500, json={})

    for protocol in MAKERS:
        seen.clear()
        await failure(provider_of(protocol, respond), replace(REQUEST, timeout=2.5))
        assert {timeout["read"] for timeout in seen} == {2.5}
        assert len(seen) == 2, "no attempt of the SDK's own"
