"""Batches over REST: submitted, looked at and collected by their own tenant alone, each answer billed once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from ragkit.batches.journal import Journal
from ragkit.nouns import Account, Query
from ragkit.rag import Ragkit
from ragkit_api.batching import _Asker
from ragkit_api.overload import Gate, Limits
from ragkit_eval.twin.faults import Fault
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


SENT = {"planned": 1}


def submitted(client: Any, questions: Any = QUESTIONS) -> Any:
    """A job that was worked on as far as that goes without its provider."""
    made = client.post("/v1/batches", json=questions)
    assert made.status_code == 202, made.text
    place = made.headers["location"]
    return place, ended(client, place)


def ended(client: Any, place: str) -> Any:
    """How a job stands once nothing goes on for it."""
    ends = time.monotonic() + 120
    while (found := client.get(place, params={"wait": 30}).json())["working"]:
        assert time.monotonic() < ends, found
    return found


def test_a_batch_is_submitted_looked_at_and_collected(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    acme, other = running.client(running.key("acme")), running.client(running.key("other"))
    with acme, other:
        running.upload(acme, pump_md=MANUAL)
        place, found = submitted(acme)
        assert (found["counts"], found["error"]) == (SENT, None)
        again = acme.post("/v1/batches", json=QUESTIONS).json()
        assert (again["job"], again["resumed"]) == (found["job"], True)
        assert found["batches"][0]["state"] == "submitted"
        assert [job["job"] for job in acme.get("/v1/batches").json()["jobs"]] == [found["job"]]
        for reply in (other.get(place), other.post(f"{place}/collect", json={}), other.post(f"{place}/cancel")):
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
        assert other.get("/v1/batches").json() == {"jobs": []}
        ended(acme, place)
        twin.clock.advance(timedelta(hours=1).total_seconds())
        done = acme.post(f"{place}/collect", json={}).json()
        assert acme.post(f"{place}/collect", json={}).json() == done
    assert (done["state"], done["working"]) == ("done", False)
    (answer,) = done["answers"]
    assert (answer["id"], answer["state"]) == ("years", "answered")
    assert "five years" in answer["answer"]["citations"][0]["quote"]
    assert answer["receipt"]["events"][0]["lane"] == "batch"
    assert len([line for line in twin.invoice.lines if line.pico]) == 1


def test_what_a_batch_refuses(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    with running.client(running.key()) as client:
        assert client.post("/v1/batches", json=QUESTIONS).json()["error"]["code"] == "no_index"
        running.upload(client, pump_md=MANUAL)
        twice = {"questions": [{"question": "One?", "id": "a"}, {"question": "Two?", "id": "a"}]}
        assert client.post("/v1/batches", json=twice).json()["error"]["code"] == "config_error"
        assert client.post("/v1/batches", json={"questions": []}).status_code == 422
        assert client.get("/v1/batches").json() == {"jobs": []}
        assert client.put("/v1/budgets", json={"whom": "tenant", "limit_usd": "0.000001"}).status_code == 200
        _, refused = submitted(client)
        assert (refused["state"], refused["error"]["code"]) == ("refused", "budget_exceeded")
        assert refused["counts"] == {"failed": 1}
        assert client.put("/v1/budgets", json={"whom": "tenant", "limit_usd": None}).status_code == 200


def test_a_job_with_a_schema_is_collected_with_it_and_can_be_cancelled(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    with running.client(running.key()) as client:
        running.upload(client, pump_md=MANUAL)
        place, found = submitted(client, {**QUESTIONS, "response_schema": SCHEMA})
        assert found["batches"][0]["state"] == "submitted"
        other = client.post(f"{place}/collect", json={})
        assert (other.status_code, other.json()["error"]["code"]) == (400, "config_error")
        stopped = client.post(f"{place}/cancel").json()
        assert stopped["state"] == "cancelling"
        twin.clock.advance(timedelta(hours=1).total_seconds())
        done = client.post(f"{place}/collect", json={"response_schema": SCHEMA}).json()
    (answer,) = done["answers"]
    assert (done["state"], answer["state"]) == ("done", "failed")
    assert answer["reason"]
    assert twin.invoice.lines == ()


LIVE = {"questions": [{"question": "How long does the warranty of the pump last?"}], "within_hours": 0}


def asked(twin: RunningTwin, count: int) -> None:
    ends = time.monotonic() + 60
    while len(twin.requests) < count:
        assert time.monotonic() < ends, "nobody asked the model"
        time.sleep(0.02)


def test_a_question_that_is_asked_live_has_no_deadline_of_a_question(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False, deadline=0.5)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
        twin.faults.add(Fault("slow_first_token", seconds=2.0, times=1))
        _, done = submitted(client, LIVE)
    assert (done["state"], done["counts"], done["error"]) == ("done", {"answered": 1}, None)


def test_a_job_keeps_neither_its_client_nor_other_jobs_waiting(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False, drain=0.2)
    acme, other = running.client(running.key("acme")), running.client(running.key("other"))
    with acme, other:
        for client in (acme, other):
            running.upload(client, pump_md=MANUAL)
        twin.faults.add(Fault("slow_first_token", seconds=600.0, times=1))
        slow = acme.post("/v1/batches", json=LIVE).headers["location"]
        asked(twin, 1)
        for client in (other, acme):
            assert submitted(client)[1]["batches"][0]["state"] == "submitted"
        found = acme.get(slow).json()
        assert (found["working"], found["counts"]) == (True, {"asking": 1})
        assert acme.post(f"{slow}/collect", params={"wait": 0}, json={}).json()["working"]
    running.stop()


def test_the_latest_jobs_are_listed(start: Any, twin: RunningTwin) -> None:
    running = start(answers=False)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
        made = [submitted(client, {"questions": [{"question": f"Question {number}?"}]})[1] for number in range(3)]
        for limit, expected in ((100, made), (2, made[1:])):
            found = client.get("/v1/batches", params={"limit": limit}).json()["jobs"]
            assert [job["job"] for job in found] == [job["job"] for job in expected]


def test_a_job_that_another_worker_works_on_says_so(start: Any, twin: RunningTwin) -> None:
    running = start(MODEL, answers=False)
    journal = Journal(running.settings.store.path)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
        place, found = submitted(client)
        with journal.working_on(found["job"]):
            busy = client.post(f"{place}/collect", json={}).json()
        assert (busy["error"]["code"], busy["state"]) == ("job_busy", "open")
        assert client.post(f"{place}/collect", json={}).json()["error"] is None
    journal.close()


@pytest.mark.parametrize("how", ["stop", "cancel"])
def test_a_live_job_ends_between_two_questions(start: Any, twin: RunningTwin, how: str) -> None:
    """What is being paid for is waited for, and once the service is there again the job goes on."""
    running = start(MODEL, answers=False, drain=60.0)
    questions = [{"question": f"How long does the warranty of pump {number} last?"} for number in range(3)]
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
        twin.faults.add(Fault("slow_first_token", seconds=2.0, times=1))
        place = client.post("/v1/batches", json={"questions": questions, "within_hours": 0}).headers["location"]
        asked(twin, 1)
        if how == "cancel":
            assert client.post(f"{place}/cancel", params={"wait": 0}).json()["working"]
            left = ended(client, place)
    if how == "stop":
        running.stop()
        running = start(MODEL, answers=False)
        with running.client() as client:
            left = client.get(place).json()
    paid = len([line for line in twin.invoice.lines if line.pico])
    assert 1 <= left["counts"]["answered"] == paid
    with running.client() as client:
        client.post(f"{place}/collect", json={})
        done = ended(client, place)
    answered = 3 if how == "stop" else paid
    assert (done["state"], done["counts"].get("failed", 0)) == ("done", 3 - answered)
    assert len([line for line in twin.invoice.lines if line.pico]) == done["counts"]["answered"] == answered


async def test_questions_of_batches_take_their_tenants_turn() -> None:
    """Where there is no place they come again, and they never take all places of the line."""
    gate, order = Gate(Limits(in_flight=1, queue=4, wait=60)), []  # type: tuple[Gate, list[str]]

    class Rag:
        async def answer(self, query: Query, *, purchase: str = "") -> Any:
            order.append(query.account.tenant)

    line = asyncio.Semaphore(1)
    asker = _Asker(cast("Ragkit", Rag()), line, gate, lambda: None)
    async with gate.slot("x"):
        jobs = [asyncio.create_task(asker.answer(Query("?", Account("a")))) for _ in range(3)]
        await asyncio.sleep(0)
        other = asyncio.create_task(asker_turn(gate, order))
        await asyncio.sleep(0)
        assert gate.queued == 2
    await asyncio.gather(other, *jobs)
    assert order == ["a", "b", "a", "a"]


async def asker_turn(gate: Gate, order: list[str]) -> None:
    async with gate.slot("b"):
        order.append("b")
