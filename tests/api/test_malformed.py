"""Hundreds of malformed requests by hand: each gets a 4xx with a stable code and one sentence, quickly."""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

POSTS: dict[str, dict[str, Any]] = {
    "/v1/query": {"question": "What is it?"},
    "/v1/search": {"question": "What is it?"},
    "/v1/ingest": {"documents": [{"source": "a.md", "text": "A."}]},
    "/v1/feedback": {"receipt_id": "abc", "rating": "up"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "What is it?"}]},
}
JSON_TYPE = {"content-type": "application/json"}
NOT_JSON = (
    b"",
    b"{",
    b"}",
    b"[",
    b"{'question': 'What?'}",
    b'{"question": "What?",}',
    b'{"question": What?}',
    b'{"question": "What?"} {"question": "What?"}',
    b"\x00\x01\x02",
    b"\xff\xfe{\x00}\x00",
    b'{"question": "\xff\xfe"}',
    b"NaN",
    b"nul",
    b"question=What",
    b"<question>What?</question>",
    b"[" * 100_000,
    b'{"question":' * 50_000,
    b"1" * 100_000,
)
NOT_OBJECTS = (b"null", b"true", b"0", b'""', b"[]", b'["question"]', b"[{}]", b"-Infinity", b"1e999", b"{}")
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    "",
    " ",
    "\0",
    "\ud800",
    [],
    {},
    [[]],
    {"a": {}},
    "x" * 9000,
)
FIELDS = {
    "/v1/query": ("question", "k", "filters", "history", "user", "max_cost_usd", "response_schema", "stream"),
    "/v1/search": ("question", "k", "filters"),
    "/v1/ingest": ("documents",),
    "/v1/feedback": ("receipt_id", "rating", "comment"),
    "/v1/chat/completions": ("messages", "model", "stream", "stream_options", "response_format", "n", "user"),
}
FITTING = {
    ("/v1/query", "stream"): (True,),
    ("/v1/query", "filters"): ({},),
    ("/v1/query", "history"): ([],),
    ("/v1/query", "k"): (None,),
    ("/v1/query", "user"): (None,),
    ("/v1/query", "max_cost_usd"): (None,),
    ("/v1/query", "response_schema"): (None,),
    ("/v1/search", "k"): (None,),
    ("/v1/search", "filters"): ({},),
    ("/v1/feedback", "comment"): ("", " "),
    ("/v1/chat/completions", "stream"): (True,),
    ("/v1/chat/completions", "stream_options"): (None, {}, {"a": {}}),
    ("/v1/chat/completions", "response_format"): (None,),
    ("/v1/chat/completions", "n"): (None,),
    ("/v1/chat/completions", "user"): (None,),
}
"""Strange values that are nothing wrong there."""
SENTENCE = re.compile(r"[^\n]{5,400}", re.DOTALL)
LEAKS = ("Traceback", "site-packages", 'File "', "/ragkit_api/")


def bodies() -> Iterator[tuple[str, bytes]]:
    for path in POSTS:
        for body in (*NOT_JSON, *NOT_OBJECTS):
            yield path, body
        for name, value in itertools.product(FIELDS[path], STRANGE):
            if not any(
                value is fit or (value == fit and type(value) is type(fit)) for fit in FITTING.get((path, name), ())
            ):
                yield path, json.dumps({**POSTS[path], name: value}).encode()
        if path != "/v1/chat/completions":
            yield path, json.dumps({**POSTS[path], "tenant": "other"}).encode()


def check(reply: httpx2.Response, what: object) -> None:
    assert 400 <= reply.status_code < 500, (what, reply.status_code, reply.text[:300])
    error = reply.json()["error"]
    assert re.fullmatch(r"[a-z_]+", error["code"]), what
    assert SENTENCE.fullmatch(error["message"]), (what, error["message"])
    assert not any(leak in reply.text for leak in LEAKS), what


def test_every_malformed_body_is_refused_in_one_sentence(start: Any) -> None:
    running = start()
    with running.client(running.key()) as client:
        running.upload(client, a_md="# A\n\nA is the first letter.\n")
        asked = 0
        for path, body in bodies():
            reply = client.post(path, content=body, headers=JSON_TYPE)
            check(reply, (path, body[:80]))
            asked += 1
    assert asked >= 300


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /v1/usage?since=999999999999d HTTP/1.1",
        b"GET /v1/usage?since=0001-01-01&zone=Mars/Base HTTP/1.1",
        b"GET /v1/usage?by=tenant%00 HTTP/1.1",
        b"GET /v1/usage/forecast?per=total HTTP/1.1",
        b"GET /v1/receipts/%2e%2e%2f%2e%2e HTTP/1.1",
        b"GET /v1/receipts/a%00b HTTP/1.1",
        b"GET /v1/documents?limit=-1 HTTP/1.1",
        b"GET /v1/documents?limit=1e9 HTTP/1.1",
        b"GET /v1/documents/%ff%fe HTTP/1.1",
        b"GET /v1/ingest/" + b"x" * 5000 + b" HTTP/1.1",
        b"GET /v1/prices?lane=none HTTP/1.1",
        b"GET /nowhere HTTP/1.1",
        b"PATCH /v1/query HTTP/1.1",
        b"DELETE /v1/documents HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"POST /v1/documents HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /v1/documents HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /v1/documents HTTP/1.1\r\nContent-Length: 0",
        b'POST /v1/query HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 19\r\n\r\n{"question":"Why?"}',
        b"POST /v1/query HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999",
        b"POST /v1/query HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: -1",
        b"POST /v1/query HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_every_malformed_request_is_refused(start: Any, lines: bytes) -> None:
    running = start()
    host, port = running.url.removeprefix("http://").split(":")
    head, _, body = lines.partition(b"\r\n\r\n")
    request = head + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n" + body
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    assert reply.split()[1].startswith(b"4"), reply
    if reply.split()[1] != b"400":
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"], reply


def test_a_body_that_is_too_large_is_refused_before_it_is_read(start: Any) -> None:
    running = start(max_body_kib=64)
    with running.client() as client:
        check(client.post("/v1/query", content=b"x" * 70_000, headers=JSON_TYPE), "declared")
        chunked = client.post("/v1/query", content=iter([b"x" * 1000] * 100), headers=JSON_TYPE)
        assert chunked.status_code == 413
        assert chunked.json()["error"]["code"] == "too_large"


def test_ten_thousand_parts_are_too_many(start: Any) -> None:
    running = start()
    parts = [("files", (f"{number}.md", b"A.")) for number in range(10_000)]
    with running.client() as client:
        check(client.post("/v1/documents", files=parts), "parts")
        check(client.post("/v1/documents", files=parts[:300]), "files")
