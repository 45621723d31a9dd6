"""What the Messages API refuses, each rule by its name, over raw HTTP; and that a refused request is free."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin

HEADERS = {"authorization": "Bearer key", "anthropic-version": "2026-10-21"}
EPHEMERAL = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
CLOSED = {"type": "object", "additionalProperties": False, "required": [], "properties": {}}


@pytest.fixture(scope="module")
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(scope="module")
def http(twin: RunningTwin) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=twin.base_url("anthropic"), headers=HEADERS) as client:
        yield client


def body(**changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Question: Is the sky blue?"}]
    return {"model": "claude-haiku-5-5", "max_tokens": 500, "messages": messages, **changes}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def text(words: str = "The sky is blue.", **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def schema(**properties: Any) -> dict[str, Any]:
    made = {**CLOSED, "properties": properties, "required": list(properties)}
    return {"output_config": {"format": {"type": "json_schema", "schema": made}}}


def document(**more: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": "The sky is blue."}
    return {"type": "document", "source": source, **more}


SONNET, OPUS, FABLE = "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1"
TOOL = {"name": "answer", "input_schema": CLOSED}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "any"}}
RECURSIVE = {
    "$defs": {"node": {**CLOSED, "properties": {"next": {"$ref": "#/$defs/node"}}}},
    "$ref": "#/$defs/node",
}
MANY = {f"p{number}": {"type": "string"} for number in range(25)}
UNIONS = {f"p{number}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for number in range(17)}
RULES: list[tuple[str, dict[str, Any], str]] = [
    ("temperature is removed", {"temperature": 1.0}, "temperature: removed in API version"),
    ("top_p is removed", {"top_p": 1.0}, "top_p: removed"),
    ("top_k is removed", {"top_k": 5}, "top_k: removed"),
    ("output_format is unknown", {"output_format": {}}, "output_format: Extra inputs"),
    ("max_tokens is required", {"max_tokens": None}, "max_tokens"),
    ("max_tokens has a maximum", {"max_tokens": 128_001}, "128000"),
    ("messages are required", {"messages": []}, "at least one message"),
    ("content is required", {"messages": [{"role": "user", "content": ""}]}, "must not be empty"),
    ("text is required", user(text("")), "non-empty"),
    ("forced tools on Sonnet 5.5", {"model": SONNET, **FORCED}, "forced tool use is not supported"),
    ("forced tools on Opus 5.5", {"model": OPUS, **FORCED}, "forced tool use is not supported"),
    ("forced tools on Fable 5.1", {"model": FABLE, **FORCED}, "forced tool use is not supported"),
    ("forced tools need tools", {"tool_choice": {"type": "any"}}, "needs tools"),
    ("a forced tool exists", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "no tool named 'x'"),
    ("prefill", {"messages": [*body()["messages"], {"role": "assistant", "content": "{"}]}, "prefill"),
    ("system is never first", {"messages": [{"role": "system", "content": "x"}]}, "must follow a user turn"),
    ("disabled thinking on Sonnet 5.5", {"model": SONNET, "thinking": {"type": "disabled"}}, "not supported"),
    ("disabled thinking on Opus 5.5", {"model": OPUS, "thinking": {"type": "disabled"}}, "not supported"),
    ("between_tools on Opus 5.5", {"model": OPUS, "thinking": {"type": "between_tools"}}, "not supported"),
    ("disabled thinking on Fable 5.1", {"model": FABLE, "thinking": {"type": "disabled"}}, "not supported"),
    ("budgets on 5.x", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "not supported"),
    (
        "disabled thinking with xhigh effort",
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "xhigh"}},
        "effort of high or lower",
    ),
    ("a budget is at least 1024", {"model": "claude-haiku-4-5", "thinking": {"type": "enabled"}}, "at least 1024"),
    (
        "a budget is below max_tokens",
        {"model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 2000}},
        "greater than thinking.budget_tokens",
    ),
    ("effort on Haiku 4.5", {"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "not supported"),
    ("unknown effort", {"output_config": {"effort": "huge"}}, "effort"),
    (
        "citations with a format",
        {**user(document(citations={"enabled": True}), text()), **schema(a={"type": "string"})},
        "cannot be used together with citations",
    ),
    (
        "citations on all documents or on none",
        user(document(citations={"enabled": True}), document(), text()),
        "on all documents or on none",
    ),
    ("citations on user text", user(text(citations=[{"type": "char_location"}])), "citations are not allowed"),
    ("format type", {"output_config": {"format": {"type": "json"}}}, "must be json_schema"),
    ("open objects", schema(a={"type": "object", "properties": {}}), "additionalProperties"),
    ("numeric limits", schema(a={"type": "integer", "minimum": 1}), "'minimum' is not supported"),
    ("length limits", schema(a={"type": "string", "maxLength": 5}), "'maxLength' is not supported"),
    ("minItems above 1", schema(a={"type": "array", "items": {"type": "string"}, "minItems": 2}), "'minItems'"),
    ("maxItems", schema(a={"type": "array", "items": {"type": "string"}, "maxItems": 2}), "'maxItems'"),
    ("oneOf", schema(a={"oneOf": [{"type": "string"}]}), "'oneOf' is not supported"),
    ("recursion", {"output_config": {"format": {"type": "json_schema", "schema": RECURSIVE}}}, "recursive"),
    (
        "24 optional parameters",
        {"output_config": {"format": {"type": "json_schema", "schema": {**CLOSED, "properties": MANY}}}},
        "at most 24",
    ),
    ("16 union-typed parameters", schema(**UNIONS), "at most 16"),
    ("20 strict tools", {"tools": [{**TOOL, "name": f"t{n}", "strict": True} for n in range(21)]}, "at most 20 strict"),
    (
        "strict tools obey the subset",
        {"tools": [{**TOOL, "strict": True, "input_schema": {"type": "object"}}]},
        "false",
    ),
    ("five breakpoints", {"system": [text(f"s{n}", cache_control=EPHEMERAL) for n in range(5)]}, "maximum of 4"),
    (
        "automatic caching takes one of the four",
        {"system": [text(f"s{n}", cache_control=EPHEMERAL) for n in range(4)], "cache_control": EPHEMERAL},
        "maximum of 4",
    ),
    (
        "automatic caching with another ttl on the last block",
        {**user(text(cache_control=HOUR)), "cache_control": EPHEMERAL},
        "another ttl",
    ),
    (
        "1h comes before 5m",
        {"system": [text("a", cache_control=EPHEMERAL), text("b", cache_control=HOUR)]},
        "must not come after",
    ),
    ("unknown ttl", {"system": [text(cache_control={"type": "ephemeral", "ttl": "2h"})]}, "5m or 1h"),
    ("pre-warm with stream", {"max_tokens": 0, "stream": True}, "max_tokens: 0"),
    ("pre-warm with a format", {"max_tokens": 0, **schema(a={"type": "string"})}, "max_tokens: 0"),
    ("pre-warm with a forced tool", {"max_tokens": 0, **FORCED}, "max_tokens: 0"),
    ("unknown service tier", {"service_tier": "flex"}, "service_tier"),
    ("fast on Haiku", {"speed": "fast"}, "fast is not supported"),
    ("a message that is no object", {"messages": ["hello"]}, "malformed"),
]


@pytest.mark.parametrize(("changes", "complaint"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_refused_before_anything_is_generated(
    twin: RunningTwin, http: httpx2.Client, changes: dict[str, Any], complaint: str
) -> None:
    billed = len(twin.invoice.lines)
    response = http.post("/v1/messages", json=body(**changes))
    answer = response.json()
    assert response.status_code == 400
    assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error"
    assert answer["request_id"] == response.headers["request-id"]
    assert complaint in answer["error"]["message"]
    assert len(twin.invoice.lines) == billed


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("pattern and format may be sent raw", schema(a={"type": "string", "pattern": "a+", "format": "date"})),
    ("minItems of 1", schema(a={"type": "array", "items": {"type": "string"}, "minItems": 1})),
    ("between_tools on Sonnet 5.5", {"model": SONNET, "thinking": {"type": "between_tools"}}),
    ("any tool on Haiku 5.5", FORCED),
    ("1h before 5m", {"system": [text("a", cache_control=HOUR), text("b", cache_control=EPHEMERAL)]}),
    ("system text in between", {"messages": [*body()["messages"], {"role": "system", "content": "Be short."}]}),
    ("prefill on Haiku 4.5", {"model": "claude-haiku-4-5", "messages": [{"role": "assistant", "content": "{"}]}),
]


@pytest.mark.parametrize("changes", [rule[1] for rule in ACCEPTED], ids=[rule[0] for rule in ACCEPTED])
def test_accepted(http: httpx2.Client, changes: dict[str, Any]) -> None:
    response = http.post("/v1/messages", json=body(**changes))
    assert response.status_code == 200, response.text


def test_sampling_is_accepted_by_old_models_in_the_old_version_only(http: httpx2.Client) -> None:
    old = {"anthropic-version": "2023-06-01"}
    cases = {"claude-haiku-4-5": 200, "claude-opus-4-7": 400, "claude-haiku-5-5": 400}
    for model, status in cases.items():
        answer = http.post("/v1/messages", json=body(model=model, temperature=0.2), headers=old)
        assert answer.status_code == status, model


def test_a_version_is_required_and_must_exist(http: httpx2.Client) -> None:
    for version in ("", "2031-01-01"):
        answer = http.post("/v1/messages", json=body(), headers={"anthropic-version": version})
        assert answer.status_code == 400 and "anthropic-version" in answer.json()["error"]["message"]


def test_prompts_beyond_the_context_window_are_refused(http: httpx2.Client) -> None:
    answer = http.post("/v1/messages", json=body(model="claude-haiku-4-5", **user(text("word " * 200_100))))
    assert answer.status_code == 400 and "prompt is too long" in answer.json()["error"]["message"]


def test_a_request_of_more_than_32_mb_is_too_large(http: httpx2.Client) -> None:
    answer = http.post("/v1/messages", json=body(**user(text("x" * (33 * 1024 * 1024)))))
    assert answer.status_code == 413 and answer.json()["error"]["type"] == "request_too_large"


def test_keys_are_needed_and_can_be_listed() -> None:
    with running_twin(options=Options(keys=("good",))) as twin:
        for headers, status in (
            ({}, 401),
            ({"authorization": "Bearer bad"}, 401),
            ({"authorization": "Bearer good"}, 200),
            ({"x-api-key": "good"}, 200),
        ):
            version = {"anthropic-version": "2026-10-21"}
            answer = httpx2.post(
                twin.base_url("anthropic") + "/v1/messages", json=body(), headers={**headers, **version}
            )
            assert answer.status_code == status
        assert answer.headers["x-ragkit-twin"] == "simulated"
        assert all("good" not in str(seen.headers) for seen in twin.requests)


STATUSES = [
    ("bad_request", 400, "invalid_request_error"),
    ("auth", 401, "authentication_error"),
    ("billing", 402, "billing_error"),
    ("permission", 403, "permission_error"),
    ("not_found", 404, "not_found_error"),
    ("timeout_error", 408, "timeout_error"),
    ("conflict", 409, "conflict_error"),
    ("too_large", 413, "request_too_large"),
    ("rate_limit", 429, "rate_limit_error"),
    ("spend_limit", 429, "rate_limit_error"),
    ("server_error", 500, "api_error"),
    ("unavailable", 503, "api_error"),
    ("gateway_timeout", 504, "api_error"),
    ("overloaded", 529, "overloaded_error"),
]


@pytest.mark.parametrize(("kind", "status", "error_type"), STATUSES)
def test_scripted_errors_have_the_documented_status_and_type(
    twin: RunningTwin, http: httpx2.Client, kind: str, status: int, error_type: str
) -> None:
    twin.faults.set([Fault(kind, retry_after="7")])
    answer = http.post("/v1/messages", json=body())
    twin.faults.set(())
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, error_type)
    assert answer.headers["retry-after"] == "7"
    if kind == "spend_limit":
        assert answer.json()["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
