"""What goes wrong on the wire, for every streaming protocol, and what it costs: seen over raw HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ragkit_eval.twin import Fault, Options, RunningTwin, running_twin

QUESTION = "Parts are stored in the dry hall. They are cleaned each week.\n\nQuestion: Where are parts stored?"
MESSAGES = [{"role": "user", "content": QUESTION}]
HEADERS = {"authorization": "Bearer key", "anthropic-version": "2026-10-21", "x-goog-api-key": "key"}
ANTHROPIC = {"model": "claude-haiku-5-5", "max_tokens": 900, "messages": MESSAGES}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]}
USAGE = {"stream_options": {"include_usage": True}}
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/anthropic/v1/messages", ANTHROPIC),
    "openai": ("/openai/v1/chat/completions", {"model": "gpt-6-luna", "messages": MESSAGES}),
    "responses": ("/openai/v1/responses", {"model": "gpt-6-luna", "input": QUESTION}),
    "gemini": ("/gemini/v1beta/models/gemini-3.8-flash:generateContent", GEMINI),
    "vllm": ("/vllm/v1/chat/completions", {"model": "twin-local", "messages": MESSAGES}),
}
STREAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": (WHOLE["anthropic"][0], {**ANTHROPIC, "stream": True}),
    "openai": (WHOLE["openai"][0], {**WHOLE["openai"][1], "stream": True, **USAGE}),
    "responses": (WHOLE["responses"][0], {**WHOLE["responses"][1], "stream": True}),
    "gemini": ("/gemini/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse", GEMINI),
    "vllm": (WHOLE["vllm"][0], {**WHOLE["vllm"][1], "stream": True, **USAGE}),
}
ENDS = {
    "anthropic": "message_stop",
    "openai": "[DONE]",
    "responses": "response.completed",
    "gemini": '"finishReason": "STOP"',
    "vllm": "[DONE]",
}
PROTOCOLS = sorted(WHOLE)
every_protocol = pytest.mark.parametrize("name", PROTOCOLS)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture(autouse=True)
def twin(running: RunningTwin) -> RunningTwin:
    running.reset()
    running.faults.set(())
    return running


@pytest.fixture
def http(running: RunningTwin) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=running.url, headers=HEADERS, timeout=0.25) as client:
        yield client


def whole(http: httpx2.Client, name: str) -> httpx2.Response:
    path, body = WHOLE[name]
    return http.post(path, json=body)


def streamed(http: httpx2.Client, name: str) -> str:
    path, body = STREAMED[name]
    return http.post(path, json=body).text


@every_protocol
def test_a_whole_stream_ends_and_costs_what_the_whole_answer_costs(
    twin: RunningTwin, http: httpx2.Client, name: str
) -> None:
    whole(http, name)
    assert ENDS[name] in streamed(http, name)
    one, other = twin.invoice.lines
    assert one.usage["output"] == other.usage["output"] and other.status == "completed"


@every_protocol
def test_a_cut_stream_is_billed_for_what_was_produced(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    full = whole(http, name)
    assert full.status_code == 200
    for after in (1, 3):
        twin.faults.set([Fault("cut_stream", after=after)])
        with pytest.raises(httpx2.RemoteProtocolError):
            streamed(http, name)
    complete, early, late = twin.invoice.lines
    assert early.status == late.status == "cut"
    assert early.usage.get("output", 0) <= late.usage.get("output", 0) < complete.usage["output"]
    assert early.usage.get("input") or early.usage.get("read")


@every_protocol
def test_a_stream_cut_before_its_first_event_is_free(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("cut_stream", after=0)])
    with pytest.raises(httpx2.RemoteProtocolError):
        streamed(http, name)
    assert twin.invoice.lines == ()


@every_protocol
def test_a_cut_at_a_byte_may_fall_within_an_event(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("cut_stream", after_bytes=333)])
    path, body = STREAMED[name]
    arrived = b""
    with pytest.raises(httpx2.RemoteProtocolError), http.stream("POST", path, json=body) as response:
        for part in response.iter_raw():
            arrived += part
    assert len(arrived) == 333


@every_protocol
def test_a_connection_reset_is_free(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("reset")])
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        whole(http, name)
    assert twin.invoice.lines == () and twin.requests[-1].aborted


@every_protocol
def test_silence_is_free_unless_the_script_says_otherwise(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    for billed in (False, True):
        twin.faults.set([Fault("timeout", billed=billed)])
        with pytest.raises(httpx2.ReadTimeout):
            streamed(http, name)
    (line,) = twin.invoice.lines
    assert line.usage["output"] > 0


@every_protocol
def test_heartbeats_are_comments_and_no_answer(twin: RunningTwin, running: RunningTwin, name: str) -> None:
    twin.faults.set([Fault("heartbeat")])
    path, body = STREAMED[name]
    with httpx2.Client(base_url=running.url, headers=HEADERS) as http, http.stream("POST", path, json=body) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [": keep-alive", ""] * 2
    assert twin.invoice.lines == ()


@every_protocol
@pytest.mark.parametrize("kind", ["malformed_json", "wrong_content_type", "missing_usage", "empty"])
def test_spoiled_answers_are_billed_all_the_same(twin: RunningTwin, http: httpx2.Client, name: str, kind: str) -> None:
    twin.faults.set([Fault(kind)])
    answer = whole(http, name)
    assert answer.status_code == 200 and len(twin.invoice.lines) == 1
    if kind == "malformed_json":
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    if kind == "wrong_content_type":
        assert answer.headers["content-type"].startswith("text/html")
    if kind == "missing_usage":
        assert "usage" not in answer.json() and "usageMetadata" not in answer.json()


@every_protocol
def test_a_proxy_s_page_is_free(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("html_error", status=504)])
    answer = whole(http, name)
    assert answer.status_code == 504 and answer.text.startswith("<html>")
    assert twin.invoice.lines == ()


@every_protocol
def test_split_bytes_add_up_to_the_same_stream(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    streamed(http, name)
    plain = streamed(http, name)
    twin.faults.set([Fault("split_bytes")])
    assert len(streamed(http, name)) == len(plain)


@pytest.mark.parametrize("name", ["anthropic", "openai", "responses", "vllm", "gemini"])
def test_a_stream_may_lack_its_end(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("no_terminal")])
    text = streamed(http, name)
    assert text and ENDS[name] not in text
    assert twin.invoice.lines[0].status == "completed"


@every_protocol
def test_an_error_may_come_within_a_stream(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    twin.faults.set([Fault("stream_error", after=4)])
    text = streamed(http, name)
    assert "overloaded_error" in text and ENDS[name] not in text
    assert twin.invoice.lines[0].status == "cut"


@every_protocol
def test_refusals_and_cut_answers_are_billed(twin: RunningTwin, http: httpx2.Client, name: str) -> None:
    for kind in ("refusal", "length"):
        twin.faults.set([Fault(kind)])
        assert whole(http, name).status_code == 200
    assert all(line.usage["output"] > 0 for line in twin.invoice.lines)
    assert len(twin.invoice.lines) == 2


async def test_a_client_that_leaves_a_stream_pays_for_what_came() -> None:
    script = [Fault("slow_tokens", seconds=0.01)]
    with running_twin(faults=script, options=Options(tokens_per_event=1)) as twin:
        path, body = STREAMED["anthropic"]
        asked = {**body, "thinking": {"type": "disabled"}}
        received = 0
        async with (
            httpx2.AsyncClient(base_url=twin.url, headers=HEADERS) as http,
            http.stream("POST", path, json=asked) as response,
        ):
            async for text in response.aiter_lines():
                received += "text_delta" in text
                if received == 3:
                    break
        for _ in range(100):
            if twin.invoice.lines:
                break
            await asyncio.sleep(0.02)
        (line,) = twin.invoice.lines
    assert line.status == "cut"
    assert 3 <= line.usage["output"] <= 6


async def test_a_client_that_leaves_a_whole_answer_pays_for_all_of_it() -> None:
    with running_twin(faults=[Fault("slow_first_token", seconds=0.3)]) as twin:
        path, body = WHOLE["openai"]
        async with httpx2.AsyncClient(base_url=twin.url, headers=HEADERS, timeout=0.1) as http:
            with pytest.raises(httpx2.ReadTimeout):
                await http.post(path, json=body)
        await asyncio.sleep(0.4)
        (line,) = twin.invoice.lines
    assert line.usage["output"] > 128


def test_a_slow_first_token_is_slow_once(twin: RunningTwin, http: httpx2.Client) -> None:
    twin.faults.set([Fault("slow_first_token", seconds=5, nth=(1,))])
    with pytest.raises(httpx2.ReadTimeout):
        whole(http, "openai")
    assert whole(http, "openai").status_code == 200
