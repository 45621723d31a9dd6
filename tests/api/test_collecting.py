"""What batches bring for chunks, collected over REST: by their own tenant, once, and told by the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fixture import RunningTwin, running_twin
from tests.integration.batch_world import DONE, invoiced
from tests.integration.context_world import HAIKU, MANUAL

CONTEXTS: dict[str, Any] = {
    "ingest": {"context": "batch", "context_model": HAIKU, "target_tokens": 80, "max_tokens": 160}
}
VECTORS: dict[str, Any] = {"embedder": {"name": "openai", "dimensions": 64, "lane": "batch"}}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    """With a clock that stands still: batches end when a test says so."""
    with running_twin(start=datetime.now(UTC), rate=0) as running:
        yield running


def collected(client: Any) -> Any:
    """A collection, once it has ended."""
    made = client.post("/v1/ingest/collect")
    assert (made.status_code, made.json()["kind"], made.json()["sources"]) == (202, "collect", []), made.text
    done = client.get(made.headers["location"], params={"wait": 30}).json()
    assert done["state"] == "done", done
    return done


@pytest.mark.parametrize(("part", "sections"), [("context", CONTEXTS), ("vectors", VECTORS)])
def test_a_job_says_what_waits_and_another_one_brings_it(
    start: Any, twin: RunningTwin, part: str, sections: dict[str, Any]
) -> None:
    running = start(keys=("openai",), sections=sections)
    with running.client(running.key("acme")) as acme, running.client(running.key("other")) as other:
        first = running.upload(acme, manual_md=MANUAL)["report"]
        wanted = first["chunks"]["added"]
        assert (first[part]["given"], first[part]["waiting"]) == (0, wanted) and len(first[part]["jobs"]) == 1
        early = collected(acme)["report"][part]
        assert (early["given"], early["waiting"]) == (0, wanted)
        twin.clock.advance(DONE)
        foreign = collected(other)["report"]
        assert foreign.get(part) is None or (foreign[part]["given"], foreign[part]["waiting"]) == (0, 0)
        done = collected(acme)["report"][part]
        assert (done["given"], done["waiting"], done["cost_usd"] > "0") == (wanted, 0, True)
        paid = invoiced(twin)
        again = collected(acme)["report"]
        assert again.get(part) is None or (again[part]["given"], again[part]["waiting"]) == (0, 0)
        assert invoiced(twin) == paid > 0
    deeds = [deed.action for _, deed in running.run(running.service.records.deeds("acme"))]
    assert deeds[:4] == ["collect", "collect", "collect", "ingest"]


def test_what_waits_is_there_after_a_restart(start: Any, twin: RunningTwin) -> None:
    running = start(keys=("openai",), sections=VECTORS)
    with running.client(running.key("acme")) as client:
        wanted = running.upload(client, manual_md=MANUAL)["report"]["vectors"]["waiting"]
    running.stop()
    twin.clock.advance(DONE)
    running = start(keys=("openai",), sections=VECTORS)
    with running.client(running.key("acme")) as client:
        assert collected(client)["report"]["vectors"]["given"] == wanted > 0


def test_collections_that_wait_in_line_are_one(start: Any) -> None:
    running = start()
    with running.client(running.key("acme")) as client, running.client(running.key("other")) as other:
        running.upload(client, manual_md=MANUAL)
        running.run(running.service.jobs.writing.acquire())
        try:
            made = [client.post("/v1/ingest/collect").json()["job_id"] for _ in range(3)]
            stranger = other.post("/v1/ingest/collect").json()["job_id"]
        finally:
            running.loop.call_soon_threadsafe(running.service.jobs.writing.release)
        for job in made:
            assert client.get(f"/v1/ingest/{job}", params={"wait": 30}).json()["state"] == "done"
        assert other.get(f"/v1/ingest/{made[0]}").status_code == 404
    assert len({*made, stranger}) == 2 and stranger not in made


def test_a_provider_that_is_down_loses_nothing(start: Any, twin: RunningTwin) -> None:
    running = start(keys=("openai",), sections=VECTORS)
    with running.client(running.key("acme")) as client:
        told = running.upload(client, manual_md=MANUAL)["report"]["vectors"]
        (wanted, (job_id,)) = told["waiting"], told["jobs"]
        (batch,) = client.get(f"/v1/batches/{job_id}").json()["batches"]
        twin.clock.advance(DONE)
        twin.faults.set([Fault("unavailable", path=batch["batch"])])
        job = client.post("/v1/ingest/collect")
        broken = client.get(job.headers["location"], params={"wait": 30}).json()
        assert broken["report"]["vectors"]["waiting"] == wanted and broken["error"]["code"] == "unavailable"
        assert "test-secret-canary" not in str(broken)
        twin.faults.set([])
        assert collected(client)["report"]["vectors"]["given"] == wanted


def test_without_documents_or_without_the_scope_nothing_is_collected(start: Any) -> None:
    running = start()
    with running.client(running.key("acme")) as client:
        job = client.post("/v1/ingest/collect")
        told = client.get(job.headers["location"], params={"wait": 30}).json()
        assert (told["state"], told["report"]) == ("failed", None) and "no documents yet" in told["error"]["message"]
    with running.client(running.key("acme", scopes="query")) as client:
        assert client.post("/v1/ingest/collect").status_code == 403
