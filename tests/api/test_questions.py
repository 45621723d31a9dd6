"""Questions over a real socket: JSON, events, OpenAI's own client, MCP's own client, and what each of them costs."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any

import httpx2
import pytest
from openai import AuthenticationError, OpenAI

from ragkit_eval.twin.faults import Fault

MANUAL = """# Pump manual

## Filters

The filter must be replaced every 400 hours of operation. A clogged filter raises the pressure.

## Warranty

The warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.
"""
QUESTION = "How long does the warranty of the pump last?"
MODEL = "anthropic/claude-haiku-5-5"
SHAPE = {
    "type": "object",
    "properties": {"years": {"type": "integer", "minimum": 0}, "covered": {"type": "string"}},
    "required": ["years", "covered"],
    "additionalProperties": False,
}


@pytest.fixture
def running(start: Any) -> Any:
    found = start(MODEL)
    with found.client() as client:
        found.upload(client, manual_md=MANUAL)
    return found


def invoiced(twin: Any) -> int:
    return sum(line.pico for line in twin.invoice.lines)


def test_an_answer_has_citations_and_a_receipt_that_can_be_looked_up(running: Any, twin: Any) -> None:
    with running.client() as client:
        reply = client.post("/v1/query", json={"question": QUESTION})
        assert reply.status_code == 200, reply.text
        body = reply.json()
        assert "five years" in body["answer"]
        (citation, *_) = body["citations"]
        assert MANUAL[citation["start"] : citation["end"]] == citation["quote"]
        receipt = client.get(f"/v1/receipts/{body['receipt']['id']}").json()
        assert receipt["cost_usd"] == body["receipt"]["cost_usd"]
        assert client.get("/v1/usage").json()["total"]["cost_usd"] == receipt["cost_usd"]
        assert invoiced(twin) > 0
        assert client.get("/v1/receipts/unknown").json()["error"]["code"] == "not_found"


def test_a_stream_has_typed_events_and_ends_with_the_whole_answer(running: Any, events: Any) -> None:
    with running.client() as client:
        reply = client.post("/v1/query", json={"question": QUESTION, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = events(reply.text)
    names = [name for name, _ in found]
    assert names[:2] == ["retrieval", "route"]
    assert names[-2:] == ["receipt", "done"]
    by_name = dict(found)
    assert " ".join(data["text"] for name, data in found if name == "text") == by_name["done"]["answer"]
    assert [data for name, data in found if name == "citation"] == by_name["done"]["citations"]
    assert by_name["receipt"] == by_name["done"]["receipt"]


def test_a_stream_that_cannot_begin_has_its_status(start: Any) -> None:
    running = start()
    with running.client() as client:
        reply = client.post("/v1/query", json={"question": QUESTION, "stream": True})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "no_index")


def test_openais_client_gets_answers_with_usage_citations_and_cost(running: Any) -> None:
    key = running.key("default")
    with OpenAI(base_url=f"{running.url}/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(AuthenticationError) as refused:
            stranger.models.list()
        assert refused.value.code == "unauthorized"
    client = OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)
    assert [model.id for model in client.models.list()] == ["ragkit"]
    messages: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTION}]
    answer = client.chat.completions.create(model="ragkit", messages=messages, temperature=0.3)
    assert "five years" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 100
    extra = answer.model_extra or {}
    assert extra["citations"][0]["source"] == "manual.md"
    assert extra["ragkit"]["receipt"]["cost_usd"] == (answer.usage.model_extra or {})["cost_usd"]
    parts = list(
        client.chat.completions.create(
            model="ragkit", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == answer.choices[0].message.content
    assert parts[-1].usage is not None
    assert (parts[-2].model_extra or {})["citations"] == extra["citations"]
    client.close()


def test_a_schema_of_the_caller_is_enforced_and_checked(running: Any) -> None:
    with running.client() as client:
        body = client.post("/v1/query", json={"question": QUESTION, "response_schema": SHAPE}).json()
        assert isinstance(body["data"]["years"], int)
        for bad in ({"type": "string"}, {"type": "object"}, {"type": "object", "properties": {"a": {"$ref": "#"}}}):
            reply = client.post("/v1/query", json={"question": QUESTION, "response_schema": bad})
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "config_error")


def test_a_repeated_request_is_answered_and_charged_once(running: Any, twin: Any) -> None:
    again = {"idempotency-key": "first-1"}
    with running.client() as client:
        first = client.post("/v1/query", json={"question": QUESTION}, headers=again)
        paid = invoiced(twin)
        assert client.post("/v1/query", json={"question": QUESTION}, headers=again).json() == first.json()
        streamed = client.post("/v1/query", json={"question": QUESTION, "stream": True}, headers=again)
        assert first.json()["receipt"]["id"] in streamed.text
        other = client.post("/v1/query", json={"question": "Is a humming sound normal?"}, headers=again)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_conflict")
    assert invoiced(twin) == paid


def repeated(client: Any, headers: dict[str, str]) -> Any:
    """Ask again, as the first request did, until there is an answer or an error that is none of waiting."""
    waits, ends = {"request_in_flight", "deadline_exceeded"}, time.monotonic() + 60
    while (reply := client.post("/v1/query", json={"question": QUESTION}, headers=headers)).status_code != 200:
        assert reply.json()["error"]["code"] in waits
        assert time.monotonic() < ends, reply.text
        time.sleep(0.05)
    return reply


def test_whoever_leaves_and_asks_again_pays_once(start: Any, twin: Any) -> None:
    running, again = start(MODEL, answers=False), {"idempotency-key": "left-1"}
    host, port = running.url.removeprefix("http://").split(":")
    with running.client() as client:
        running.upload(client, manual_md=MANUAL)
        twin.faults.add(Fault("slow_first_token", seconds=0.5, times=1))
        body = json.dumps({"question": QUESTION}).encode()
        head = "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: left-1\r\n"
        head += f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(head.encode() + body)
            ends = time.monotonic() + 60
            while not twin.requests:
                assert time.monotonic() < ends, "nobody asked the model"
                time.sleep(0.01)
        assert "five years" in repeated(client, again).json()["answer"]
    assert len([line for line in twin.invoice.lines if line.pico]) == 1


def test_whoever_was_given_up_and_asks_again_pays_once(start: Any, twin: Any) -> None:
    running, again = start(MODEL, answers=False, deadline=1.0), {"idempotency-key": "late-1"}
    with running.client() as client:
        running.upload(client, manual_md=MANUAL)
        twin.faults.add(Fault("slow_first_token", seconds=1.5))
        late = client.post("/v1/query", json={"question": QUESTION}, headers=again)
        assert late.json()["error"]["code"] == "deadline_exceeded"
        answer = repeated(client, again)
        assert repeated(client, again).json() == answer.json()
    assert "five years" in answer.json()["answer"]
    assert len([line for line in twin.invoice.lines if line.pico]) == 1


def test_a_provider_that_fails_is_an_error_with_the_bill(running: Any, twin: Any, events: Any) -> None:
    twin.faults.add(Fault("refusal", times=2))
    with running.client() as client:
        reply = client.post("/v1/query", json={"question": QUESTION})
        assert reply.status_code == 502
        assert reply.json()["error"]["receipt"]["events"]
        found = events(client.post("/v1/query", json={"question": QUESTION, "stream": True}).text)
    assert [name for name, _ in found][-2:] == ["error", "done"]
    assert dict(found)["done"] == {"complete": False}


def test_mcps_client_finds_asks_and_sees_what_it_cost(running: Any) -> None:
    from mcp.client.session import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk(key: str) -> tuple[list[str], Any, Any]:
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, trust_env=False) as http,
            streamable_http_client(f"{running.url}/mcp", http_client=http) as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            names = sorted(tool.name for tool in (await session.list_tools()).tools)
            answer = await session.call_tool("ask", {"question": QUESTION})
            return names, answer, await session.call_tool("cost", {"by": "model"})

    names, answer, cost = asyncio.run(talk(running.key("default", "query")))
    assert names == ["ask", "cost", "search"]
    assert "five years" in answer.structured_content["answer"]
    assert cost.structured_content["total"]["cost_usd"] == answer.structured_content["receipt"]["cost_usd"]


def test_metrics_say_what_the_receipts_say(running: Any) -> None:
    with running.client() as client:
        body = client.post("/v1/query", json={"question": QUESTION}).json()
        text = client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    spent = sum(float(value) for name, value in lines.items() if name.startswith("ragkit_cost_usd_total"))
    assert spent == pytest.approx(float(body["receipt"]["cost_usd"]))
    assert float(lines["ragkit_in_flight"]) == 0
    assert 'ragkit_requests_total{method="POST",route="/v1/query",status="200"} 1.0' in text
    assert QUESTION not in text
