"""Batches over REST: submitted, looked at and collected by their own tenant alone, each answer billed once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ragkit_eval.twin.fixture import RunningTwin, running_twin

MODEL = "anthropic/claude-haiku-5-5"
MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTIONS = {"questions": [{"question": "How long does the warranty of the pump last?", "id": "years"}]}
SCHEMA = {"type": "object", "properties": {"years": {"type": "integer"}}, "required": ["years"]}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    """With a clock that stands still: batches end when a test says so."""
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def test_a_batch_is_submitted_looked_at_and_collected(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    acme, other = running.client(running.key("acme")), running.client(running.key("other"))
    with acme, other:
        running.upload(acme, pump_md=MANUAL)
        made = acme.post("/v1/batches", json=QUESTIONS)
        assert made.status_code == 202, made.text
        place = made.headers["location"]
        assert made.json()["counts"] == {"planned": 1}
        again = acme.post("/v1/batches", json=QUESTIONS).json()
        assert (again["job"], again["resumed"]) == (made.json()["job"], True)
        assert acme.get(place).json()["batches"][0]["state"] == "submitted"
        assert [job["job"] for job in acme.get("/v1/batches").json()["jobs"]] == [made.json()["job"]]
        for reply in (other.get(place), other.post(f"{place}/collect", json={}), other.post(f"{place}/cancel")):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
        assert other.get("/v1/batches").json() == {"jobs": []}
        twin.clock.advance(timedelta(hours=1).total_seconds())
        done = acme.post(f"{place}/collect", json={}).json()
        assert acme.post(f"{place}/collect", json={}).json() == done
    assert done["state"] == "done"
    (answer,) = done["answers"]
    assert (answer["id"], answer["state"]) == ("years", "answered")
    assert "five years" in answer["answer"]["citations"][0]["quote"]
    assert answer["receipt"]["events"][0]["lane"] == "batch"
    assert len([line for line in twin.invoice.lines if line.pico]) == 1


def test_what_a_batch_refuses(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    with running.client(running.key()) as client:
        running.upload(client, pump_md=MANUAL)
        twice = {"questions": [{"question": "One?", "id": "a"}, {"question": "Two?", "id": "a"}]}
        assert client.post("/v1/batches", json=twice).json()["error"]["code"] == "config_error"
        assert client.post("/v1/batches", json={"questions": []}).status_code == 422
        assert client.put("/v1/budgets", json={"whom": "tenant", "limit_usd": "0.000001"}).status_code == 200
        assert client.post("/v1/batches", json=QUESTIONS).json()["error"]["code"] == "budget_exceeded"
        assert client.put("/v1/budgets", json={"whom": "tenant", "limit_usd": None}).status_code == 200
        typed = client.post("/v1/batches", json={**QUESTIONS, "response_schema": SCHEMA})
        place = typed.headers["location"]
        refused = client.post(f"{place}/collect", json={}).json()["error"]
        assert "schema" in refused["message"]
        assert client.post(f"{place}/cancel").status_code == 200
        twin.clock.advance(timedelta(hours=1).total_seconds())
        ended = client.post(f"{place}/collect", json={"response_schema": SCHEMA}).json()
    assert ended["state"] in ("cancelled", "done")
