"""Keys: who may do what, how they are kept, and how they end."""

from __future__ import annotations

import json
import socket
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ragkit.config import load_settings
from ragkit.errors import ConfigError
from ragkit_api.app import create_app
from ragkit_api.keys import SCOPES, Key, Ring, digest_of, mint, parse_scopes
from ragkit_api.secret import read_secret
from ragkit_api.server import check_open

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = b"s" * 32
ANY = "any"
NEEDED = {
    ("POST", "/v1/query"): "query",
    ("POST", "/v1/search"): "query",
    ("POST", "/v1/documents"): "ingest",
    ("GET", "/v1/documents"): "query",
    ("GET", "/v1/documents/{document_id}"): "query",
    ("DELETE", "/v1/documents/{document_id}"): "ingest",
    ("POST", "/v1/ingest"): "ingest",
    ("GET", "/v1/ingest"): "ingest",
    ("GET", "/v1/ingest/{job_id}"): "ingest",
    ("POST", "/v1/ingest/{job_id}/cancel"): "ingest",
    ("POST", "/v1/ingest/collect"): "ingest",
    ("GET", "/v1/usage"): "query",
    ("GET", "/v1/usage/forecast"): "query",
    ("GET", "/v1/receipts/{receipt_id}"): "query",
    ("POST", "/v1/feedback"): "query",
    ("GET", "/v1/feedback"): "admin",
    ("GET", "/v1/cache"): "query",
    ("GET", "/v1/budgets"): "query",
    ("PUT", "/v1/budgets"): "admin",
    ("GET", "/v1/prices"): "query",
    ("POST", "/v1/chat/completions"): "query",
    ("GET", "/v1/models"): "query",
    ("GET", "/v1/models/{model}"): "query",
    ("POST", "/v1/batches"): "query",
    ("GET", "/v1/batches"): "query",
    ("GET", "/v1/batches/{job_id}"): "query",
    ("POST", "/v1/batches/{job_id}/collect"): "query",
    ("POST", "/v1/batches/{job_id}/cancel"): "query",
    ("GET", "/v1/routes"): "query",
    ("GET", "/v1/cache/prefixes"): "query",
    ("GET", "/v1/whoami"): ANY,
    ("GET", "/metrics"): "metrics",
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
}
"""Every route with the scope it needs; a route that is not here fails the test below."""
BODIES: dict[str, Any] = {
    "/v1/query": {"question": "What?"},
    "/v1/search": {"question": "What?"},
    "/v1/ingest": {"documents": [{"source": "a.md", "text": "A."}]},
    "/v1/feedback": {"receipt_id": "none", "rating": "up"},
    "/v1/batches": {"questions": [{"question": "What?"}]},
    "/v1/budgets": {"whom": "user=a", "limit_usd": "1"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "What?"}]},
}


def ring(**changes: Any) -> tuple[Ring, str]:
    id_, whole = mint()
    known: dict[str, Any] = {"digest": digest_of(whole, SECRET), "created": NOW} | changes
    return Ring({id_: Key(id_, "acme", "", ("query",), **known)}), whole


def test_only_the_whole_key_is_found() -> None:
    keys, whole = ring()
    found = keys.find(whole, SECRET, NOW)
    assert found is not None
    assert found.tenant == "acme"
    for wrong in ("", whole[:-1], whole + "x", whole.upper(), whole.replace("rk_", "rk-"), whole[:-1] + "\u00e4", "\0"):
        assert keys.find(wrong, SECRET, NOW) is None
    assert keys.find(whole, b"another secret", NOW) is None


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    keys, whole = ring(expires=NOW + timedelta(seconds=1))
    assert keys.find(whole, SECRET, NOW)
    assert keys.find(whole, SECRET, NOW + timedelta(seconds=1)) is None
    keys, whole = ring(revoked=NOW)
    assert keys.find(whole, SECRET, NOW) is None


@pytest.mark.parametrize("text", ["", "root", "query,root", ","])
def test_scopes_are_known_words(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_scopes(text)


def test_every_route_says_which_scope_it_needs(tmp_path: Any) -> None:
    app = create_app(load_settings(environment={}, overrides={"store": {"path": tmp_path}}))
    declared = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    assert declared == set(NEEDED)


def test_each_route_refuses_everybody_else(start: Any) -> None:
    running = start()
    keys = {scope: running.key(scopes=scope) for scope in SCOPES}
    with running.client() as client:
        for (method, path), needed in NEEDED.items():
            url = path.format(document_id="none", job_id="none", receipt_id="none", model="none")
            files = {"files": ("a.md", b"A.")} if (method, path) == ("POST", "/v1/documents") else None
            body = BODIES.get(path) if method in ("POST", "PUT") else None
            for scope, key in [*keys.items(), (None, "")]:
                headers = {"authorization": f"Bearer {key}"} if key else {}
                reply = client.request(method, url, json=body, files=files, headers=headers)
                expected = None if needed in (None, scope) or (needed == ANY and scope) else 403 if scope else 401
                assert (reply.status_code in (401, 403)) == (expected is not None), (method, path, scope, reply.text)
                assert expected in (None, reply.status_code)


def test_what_is_kept_of_a_key_does_not_open_anything(start: Any, tmp_path: Any) -> None:
    running = start()
    whole = running.key()
    with sqlite3.connect(f"file:{tmp_path / 'kb' / 'ledger.db'}?mode=ro", uri=True) as database:
        dump = "\n".join(str(row) for row in database.execute("SELECT * FROM api_key"))
    database.close()
    secret = whole.rsplit("_", 1)[-1]
    assert whole.split("_")[1] in dump
    assert secret not in dump
    assert oct((tmp_path / "kb" / "service.secret").stat().st_mode & 0o777) == "0o600"


def test_rotated_and_revoked_keys_end_within_seconds(start: Any) -> None:
    running = start()
    old, new = running.key(), running.key()
    records, key_id = running.service.records, old.split("_")[1]

    def status(key: str) -> int:
        running.service.keys._read = float("-inf")
        with running.client(key) as client:
            return int(client.get("/v1/models").status_code)

    _, rotated = running.run(records.rotate_key(key_id, read_secret(running.settings), "test", timedelta(hours=1)))
    assert [status(key) for key in (old, rotated, new)] == [200, 200, 200]
    running.run(records.revoke_key(key_id, "test"))
    assert [status(key) for key in (old, rotated, new)] == [401, 200, 200]
    deeds = [deed.action for _, deed in running.run(records.deeds("acme"))]
    assert deeds == ["key.revoke", "key.rotate", "key.create", "key.create"]


def test_a_rate_is_kept_and_says_when_to_come_again(start: Any) -> None:
    running = start()
    key = running.key(rate=20)
    with running.client(key) as client:
        statuses = [client.get("/v1/models").status_code for _ in range(4)]
        refused = client.get("/v1/models", headers={"x-forwarded-for": "10.1.1.1"})
    assert statuses[:2] == [200, 200]
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "rate_limited"


def test_a_key_that_has_a_budget_is_held_to_it(start: Any) -> None:
    running = start("anthropic/claude-haiku-5-5")
    admin = running.key()
    asker = running.key(scopes="query")
    with running.client(admin) as client:
        running.upload(client, pump_md="# Pump\n\nThe warranty of the pump lasts for five years.\n")
        whom = f"key={asker.split('_')[1]}"
        assert client.put("/v1/budgets", json={"whom": whom, "limit_usd": "0.000001", "per": "day"}).status_code == 200
        with running.client(asker) as poor:
            reply = poor.post("/v1/query", json={"question": "How long does the warranty of the pump last?"})
        assert reply.status_code == 402, reply.text
        error = reply.json()["error"]
        assert (error["code"], error["budget"]["scope"]) == ("budget_exceeded", whom)
        assert "retry-after" not in reply.headers
        standings = client.get("/v1/budgets").json()["standings"]
        assert [it["whom"] for it in standings if it["spent_usd"] != "0"] == []


def test_without_keys_only_this_machine_is_answered(start: Any) -> None:
    running = start()
    with running.client() as client:
        assert client.get("/v1/models").status_code == 200
        for headers in (
            {"host": "evil.example"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://[::1"},
        ):
            reply = client.get("/v1/models", headers=headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (421, "wrong_host"), headers
        running.key()
        assert client.get("/v1/models").status_code == 401


async def test_without_keys_no_other_address_is_listened_to(tmp_path: Any) -> None:
    settings = load_settings(environment={}, overrides={"store": {"path": tmp_path}, "api": {"host": "0.0.0.0"}})
    with pytest.raises(ConfigError, match="ragkit key create"):
        await check_open(settings)


@pytest.mark.parametrize(
    "lines",
    [
        b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        b"Authorization: Bearer ' OR 1=1 --\r\n",
        b"Authorization: Bearer \xff\xfe\xe4\r\n",
        b"Authorization: Basic YTpi\r\n",
        b"Authorization:\r\n",
        b"Authorization: Bearer " + b"x" * 20_000 + b"\r\n",
    ],
)
def test_a_hostile_header_is_no_key(start: Any, lines: bytes) -> None:
    running = start()
    running.key()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + lines + b"\r\n")
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.split()[1] == b"401"
    assert json.loads(body)["error"]["code"] == "unauthorized"
