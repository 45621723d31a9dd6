"""Tenants: nothing of one is ever seen by another, over any endpoint, in any log, in any prompt."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import pytest

MODEL = "anthropic/claude-haiku-5-5"
QUESTIONS = ("What is the code of the vault?", "Who keeps the code of the vault?", "How long is the code valid?")


def canary(number: int) -> str:
    return f"canary{number:03d}zebra"


def manual(number: int) -> str:
    name = canary(number)
    return (
        f"# Vault of {name}\n\nThe code of the vault is {name}. The keeper {name} holds it. It is valid for a year.\n"
    )


class World:
    """Tenants with a key each, their documents and receipts."""

    def __init__(self, running: Any, tenants: int) -> None:
        self.running = running
        self.clients = [running.client(running.key(f"tenant{number}")) for number in range(tenants)]
        self.documents: dict[int, str] = {}
        self.receipts: dict[int, str] = {}
        self.jobs: dict[int, str] = {}
        self.batches: dict[int, str] = {}
        for number, client in enumerate(self.clients):
            self.jobs[number] = running.upload(client, vault_md=manual(number))["job_id"]
            self.documents[number] = client.get("/v1/documents").json()["documents"][0]["id"]
            batch = client.post("/v1/batches", json={"questions": [{"question": QUESTIONS[0]}]})
            self.batches[number] = batch.json()["job"]

    def call(self, number: int, dice: random.Random) -> str:
        """One call of a tenant to a random endpoint, now and then with what belongs to another; the reply's text."""
        client, question = self.clients[number], dice.choice(QUESTIONS)
        other = dice.choice([it for it in range(len(self.clients)) if it != number])
        foreign = dice.choice(
            [
                f"/v1/documents/{self.documents[other]}",
                f"/v1/receipts/{self.receipts.get(other, 'none')}",
                f"/v1/ingest/{self.jobs[other]}",
                f"/v1/batches/{self.batches[other]}",
            ]
        )
        chat = {"messages": [{"role": "user", "content": question}], "stream": dice.random() < 0.5}
        kind = dice.randrange(9)
        if kind == 0:
            reply = client.post("/v1/query", json={"question": question})
            self.receipts[number] = reply.json()["receipt"]["id"]
        elif kind == 1:
            reply = client.post("/v1/query", json={"question": question, "stream": True})
        elif kind == 2:
            # The same key of idempotency, used by everybody.
            key = {"idempotency-key": f"shared-{QUESTIONS.index(question)}"}
            reply = client.post("/v1/query", json={"question": question}, headers=key)
        elif kind == 3:
            headers = {"x-tenant": f"tenant{other}", "x-forwarded-user": f"tenant{other}"}
            reply = client.post("/v1/search", json={"question": question, "k": 200}, headers=headers)
        elif kind == 4:
            reply = client.post("/v1/chat/completions", json={**chat, "tenant": f"tenant{other}"})
        elif kind == 5:
            reply = client.get(foreign)
            assert reply.status_code == 404, (foreign, reply.text)
            assert reply.json() == client.get(f"/v1/{foreign.split('/')[2]}/missing").json()
        elif kind == 6:
            names = ("documents", "ingest", "feedback", "cache", "cache/prefixes", "budgets", "batches", "routes")
            reply = client.get(f"/v1/{dice.choice(names)}")
        elif kind == 7:
            reply = client.get(f"/v1/documents/{self.documents[number]}")
        else:
            reply = client.get("/v1/usage", params={"by": "tenant"})
            assert {line["group"] for line in reply.json()["lines"]} <= {f"tenant{number}"}
        assert reply.status_code in (200, 404), reply.text
        return str(reply.text)


@pytest.mark.parametrize(
    ("tenants", "calls"), [(4, 120), pytest.param(20, 5000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_tenant_sees_another_ones_canary(
    start: Any, twin: Any, caplog: pytest.LogCaptureFixture, tenants: int, calls: int
) -> None:
    caplog.set_level(logging.DEBUG)
    running, dice = start(MODEL), random.Random(7)
    world = World(running, tenants)
    own = 0
    for _ in range(calls):
        number = dice.randrange(tenants)
        text = world.call(number, dice)
        own += canary(number) in text
        for other in range(tenants):
            assert other == number or canary(other) not in text
    assert own > calls / 4
    for seen in twin.requests:
        body = json.dumps(seen.body)
        assert sum(canary(number) in body for number in range(tenants)) <= 1
    logged = "\n".join(str(record.__dict__) for record in caplog.records if record.name.startswith("ragkit"))
    assert not [number for number in range(tenants) if canary(number) in logged]
    for secret in ("test-secret-canary", "rk_", *QUESTIONS):
        assert secret not in logged
    for client in world.clients:
        client.close()


@pytest.mark.parametrize(
    "body",
    [
        {"question": "What?", "tenant": "other"},
        {"question": "What?", "account": {"tenant": "other"}},
        {"question": "What?", "filters": {"tenant": {"any": ["other"]}}},
        {"question": "What?", "price": "0"},
        {"question": "What?", "budget": "1000"},
    ],
)
def test_nobody_chooses_tenant_or_price_in_a_body(start: Any, body: dict[str, Any]) -> None:
    running = start()
    with running.client(running.key()) as client:
        assert client.post("/v1/query", json=body).status_code == 422


def test_budgets_of_others_are_neither_seen_nor_set(start: Any) -> None:
    running = start()
    acme, other = running.client(running.key("acme")), running.client(running.key("other"))
    key_of_other = running.key("other").split("_")[1]
    with acme, other:
        for whom in ("tenant", "user=alice", "tag=web"):
            assert other.put("/v1/budgets", json={"whom": whom, "limit_usd": "3"}).status_code == 200
        assert acme.put("/v1/budgets", json={"whom": f"key={key_of_other}", "limit_usd": "3"}).status_code == 404
        assert acme.put("/v1/budgets", json={"whom": "user=other/alice", "limit_usd": "3"}).status_code == 422
        assert acme.get("/v1/budgets").json() == {"budgets": [], "standings": []}
        assert len(other.get("/v1/budgets").json()["budgets"]) == 3
        assert other.put("/v1/budgets", json={"whom": "tenant", "limit_usd": None}).status_code == 200
        assert len(other.get("/v1/budgets").json()["budgets"]) == 2
