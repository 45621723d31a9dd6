"""The gate, deadlines, clients that leave, and a service that is stopped while it streams."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from ragkit.compute import at_once, in_thread
from ragkit_api.attached import Detached, attached
from ragkit_api.overload import Deadlines, Gate, Limits, Rates, shutting_down
from ragkit_api.pauses import Pauses
from ragkit_api.problem import Problem
from ragkit_eval.twin.faults import Fault

MODEL = "anthropic/claude-haiku-5-5"
MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTION = "How long does the warranty of the pump last?"


async def occupy(gate: Gate, tenant: str, order: list[str], leave: asyncio.Event | None = None) -> None:
    async with gate.slot(tenant):
        order.append(tenant)
        await (leave.wait() if leave else asyncio.sleep(0))


async def waiting(gate: Gate, tenants: str, order: list[str]) -> tuple[asyncio.Event, list[asyncio.Task[None]]]:
    """One place that is taken until the event, and those who wait for it."""
    leave = asyncio.Event()
    tasks = [asyncio.create_task(occupy(gate, "x", [], leave))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(occupy(gate, tenant, order)) for tenant in tenants]
    await asyncio.sleep(0)
    return leave, tasks


async def test_tenants_take_turns_whoever_came_first() -> None:
    gate, order = Gate(Limits(in_flight=1, queue=16, share=0.5)), []  # type: tuple[Gate, list[str]]
    leave, tasks = await waiting(gate, "aaaabb", order)
    assert gate.queued == 6
    leave.set()
    await asyncio.gather(*tasks)
    assert "".join(order) == "abacaa".replace("c", "b")
    assert (gate.running, gate.queued) == (0, 0)


async def test_what_does_not_fit_is_refused_at_once() -> None:
    gate = Gate(Limits(in_flight=1, queue=4, share=0.25))
    leave, tasks = await waiting(gate, "aabb", [])
    with pytest.raises(Problem) as refused:
        await occupy(gate, "a", [])
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    assert int(refused.value.headers["retry-after"]) >= 1
    leave.set()
    assert sum(isinstance(it, Problem) for it in await asyncio.gather(*tasks, return_exceptions=True)) == 1


async def test_who_stops_waiting_leaves_no_gap() -> None:
    gate, order = Gate(Limits(in_flight=1, queue=8)), []  # type: tuple[Gate, list[str]]
    leave, tasks = await waiting(gate, "abc", order)
    tasks[2].cancel()
    leave.set()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["c"]
    assert (gate.running, gate.queued) == (0, 0)


async def test_who_waits_too_long_is_refused() -> None:
    gate = Gate(Limits(in_flight=1, queue=8, wait=0.01))
    leave, tasks = await waiting(gate, "a", [])
    with pytest.raises(Problem, match="too many"):
        await tasks[1]
    leave.set()
    await tasks[0]
    assert (gate.running, gate.queued) == (0, 0)


async def test_a_random_crowd_leaves_the_gate_as_it_was() -> None:
    gate, dice = Gate(Limits(in_flight=3, queue=20, wait=0.02)), random.Random(3)

    async def come(tenant: str) -> None:
        await asyncio.sleep(dice.random() / 50)
        async with gate.slot(tenant):
            assert gate.running <= 3
            await asyncio.sleep(dice.random() / 100)

    tasks = [asyncio.create_task(come(dice.choice("abc"))) for _ in range(200)]
    for task in dice.sample(tasks, 40):
        asyncio.get_running_loop().call_later(dice.random() / 20, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (gate.running, gate.queued) == (0, 0)


async def test_a_shutdown_shortens_every_deadline() -> None:
    deadlines = Deadlines(60)

    async def long() -> None:
        async with deadlines.one():
            await asyncio.sleep(60)

    task = asyncio.create_task(long())
    await asyncio.sleep(0)
    deadlines.drain(0.01)
    with pytest.raises(Problem) as ended:
        await task
    assert ended.value.code == "shutting_down"
    with pytest.raises(Problem, match="was not answered"):
        async with Deadlines(0.01).one():
            await asyncio.sleep(60)


def test_a_rate_lets_through_what_it_says() -> None:
    now = 0.0
    rates, passed = Rates(lambda: now), 0
    for _ in range(6000):
        now += 0.01
        try:
            rates.take("key", 60)
            passed += 1
        except Problem:
            pass
    assert 60 <= passed <= 67


def test_buckets_that_are_full_again_are_forgotten_and_the_others_are_not() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for number in range(1000):
        rates.take(f"key {number}", 600)
    for _ in range(2):
        rates.take("slow", 20)
    assert len(rates) == 1001
    now = 60.0
    rates.take("new", 600)
    assert len(rates) == 1
    now = 119.9
    rates.take("slow", 1)
    now = 121.0
    rates.take("new", 600)
    assert len(rates) == 2
    with pytest.raises(Problem, match="may ask"):
        rates.take("slow", 1)


async def test_a_shutdown_does_not_stumble_over_a_deadline_that_is_just_running_out() -> None:
    deadlines, ended = Deadlines(0.01), []

    async def late() -> None:
        async with deadlines.one():
            try:
                await asyncio.sleep(60)
            finally:
                # The deadline has run out here, and its block has not been left yet.
                deadlines.drain(5)
                ended.append("drained")

    with pytest.raises(Problem):
        await late()
    assert ended == ["drained"]


async def test_work_that_nobody_waits_for_ends_only_with_the_service() -> None:
    deadlines = Deadlines(0.001)

    async def work() -> None:
        async with deadlines.work():
            await asyncio.sleep(0.1)
            deadlines.drain(0.01)
            await asyncio.sleep(60)

    with pytest.raises(Problem) as ended:
        await work()
    assert ended.value.code == "shutting_down"


async def test_how_work_failed_that_nobody_waits_for_goes_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    detached, goes_on = Detached(), asyncio.Event()

    async def fail(error: Exception) -> None:
        await goes_on.wait()
        raise error

    waiting = asyncio.create_task(detached.run(fail(RuntimeError("waited for"))))
    leaving = asyncio.create_task(detached.run(fail(ValueError("left"))))
    detached.start(fail(ZeroDivisionError("begun")))
    detached.start(fail(shutting_down()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    goes_on.set()
    await detached.ended()
    with pytest.raises(RuntimeError):
        await waiting
    assert sorted(record.message for record in caplog.records) == ["ValueError", "ZeroDivisionError"]


async def test_how_work_of_a_client_that_left_failed_goes_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("broken while it was cleaned up") from None

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    request = cast("Request", SimpleNamespace(receive=receive))
    with pytest.raises(Problem, match="client left"):
        await attached(request, work())
    assert [record.message for record in caplog.records] == ["RuntimeError"]


def invoiced(twin: Any) -> int:
    return sum(line.pico or 0 for line in twin.invoice.lines)


def spent(running: Any) -> tuple[int, int]:
    """Receipts and what was posted for them."""
    now = datetime.now(UTC)
    when = (now - timedelta(hours=1), now + timedelta(hours=1), None)
    receipts = list(running.run(running.service.ledger.receipts(*when)))
    cells = running.run(running.service.ledger.cells(*when))
    return len(receipts), sum(cell.posted_pico for cell in cells)


def ask_and_leave(running: Any, after: int) -> int:
    """Ask for a stream and hang up after so many bytes of it; how many there were."""
    host, port = running.url.removeprefix("http://").split(":")
    body = b'{"question": "%s", "stream": true}' % QUESTION.encode()
    head = b"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    got = 0
    with socket.create_connection((host, int(port)), timeout=90) as connection:
        connection.sendall(head % len(body) + body)
        while got < after and (part := connection.recv(after - got)):
            got += len(part)
    return got


def settled(running: Any, twin: Any) -> None:
    """Wait until nothing is held and nobody is in flight."""
    ends = time.monotonic() + 40
    while time.monotonic() < ends:
        audit = running.run(running.service.ledger.audit())
        if not running.service.gate.running and audit.held_pico == 0:
            return
        time.sleep(0.05)
    raise AssertionError("something is still held or running")


@pytest.mark.parametrize("count", [12, pytest.param(400, marks=pytest.mark.slow)], ids=["few", "many"])
def test_whoever_leaves_pays_what_was_generated(start: Any, twin: Any, count: int) -> None:
    running, dice = start(MODEL, answers=False), random.Random(5)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
    for _ in range(count):
        ask_and_leave(running, dice.randrange(1, 4000))
    settled(running, twin)
    receipts, posted = spent(running)
    calls = len([line for line in twin.invoice.lines if line.pico])
    assert calls <= receipts <= count
    assert posted == invoiced(twin) > 0
    running.stop()


def test_streams_end_with_an_event_when_the_service_is_stopped(start: Any, twin: Any, events: Any) -> None:
    running = start(MODEL, drain=1.0)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
    twin.faults.add(Fault("slow_first_token", seconds=8))
    texts: list[str] = []
    begun = threading.Semaphore(0)

    def follow() -> None:
        asked = {"question": QUESTION, "stream": True}
        with running.client() as client, client.stream("POST", "/v1/query", json=asked) as reply:
            begun.release()
            texts.append("".join(reply.iter_text()))

    threads = [threading.Thread(target=follow) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert all(begun.acquire(timeout=60) for _ in threads)
    ledger = running.service.ledger
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 30
    for thread in threads:
        thread.join(10)
    ends = [events(text)[-2:] for text in texts]
    assert len(ends) == 20
    assert all([name for name, _ in end] == ["error", "done"] for end in ends)
    assert {end[0][1]["code"] for end in ends} == {"shutting_down"}
    with pytest.raises(Exception, match="closed"):
        asyncio.run(ledger.budgets())


def test_a_crowd_is_shed_with_a_time_to_come_again(start: Any, twin: Any) -> None:
    running = start(MODEL, answers=False, in_flight=2, queue=2)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
    twin.faults.add(Fault("slow_first_token", seconds=0.5))
    replies: list[Any] = []

    def one() -> None:
        with running.client() as client:
            replies.append(client.post("/v1/query", json={"question": QUESTION}))

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shed = [reply for reply in replies if reply.status_code == 503]
    assert {reply.status_code for reply in replies} == {200, 503}
    assert all(reply.json()["error"]["code"] == "overloaded" for reply in shed)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in shed)


def test_health_does_not_ask_others_and_readiness_does(start: Any, tmp_path: Any) -> None:
    running = start()
    with running.client() as client:
        assert ready(client) == {"ready": True, "store": "ok", "ledger": "ok", "queue": "ok"}
        (tmp_path / "kb" / "ledger.db").rename(tmp_path / "kb" / "elsewhere.db")
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        reply = client.post("/v1/query", json={"question": QUESTION})
        assert reply.status_code in (409, 503)
        (tmp_path / "kb" / "elsewhere.db").rename(tmp_path / "kb" / "ledger.db")
        ready(client)


def ready(client: Any) -> Any:
    """What it says once it is ready: on a busy machine a check may run out of its two seconds."""
    ends = time.monotonic() + 60
    while (reply := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < ends, reply.text
        time.sleep(0.1)
    return reply.json()


def test_whoever_comes_is_counted_before_anything_is_read() -> None:
    gate = Gate(Limits(in_flight=2, queue=4, share=0.25))
    leaves = [gate.come("a") for _ in range(3)]
    leaves.append(gate.come("b"))
    with pytest.raises(Problem, match="too many"):
        gate.come("a")
    leaves += [gate.come("b"), gate.come("b")]
    for tenant in "abc":
        with pytest.raises(Problem, match="too many"):
            gate.come(tenant)
    for leave in leaves:
        leave()
    gate.come("c")()
    gate.closed = True
    with pytest.raises(Problem, match="being stopped"):
        gate.come("c")


async def test_work_beside_the_loop_lets_it_go_on_and_fails_as_it_would_at_once() -> None:
    began, goes_on = threading.Event(), threading.Event()

    def work(number: int, *, more: int) -> int:
        began.set()
        assert goes_on.wait(30)
        return number // more

    async with in_thread() as compute:
        task = asyncio.create_task(compute(work, 6, more=2))
        assert await asyncio.to_thread(began.wait, 30)
        goes_on.set()
        assert await task == await at_once(work, 6, more=2) == 3
        with pytest.raises(ZeroDivisionError):
            await compute(work, 1, more=0)


def test_what_is_set_aside_is_looked_through_again_once_an_hour() -> None:
    now, calls = 0.0, []  # type: tuple[float, list[str]]
    collector = SimpleNamespace(freeze=lambda: calls.append("freeze"), unfreeze=lambda: calls.append("unfreeze"))
    pauses = Pauses(lambda: now, collector)

    def look(at: float, generation: int = 2) -> list[str]:
        nonlocal now
        now = at
        calls.clear()
        pauses("start", {"generation": generation})
        calls.append("look")
        pauses("stop", {"generation": generation})
        return calls

    assert look(59) == ["look"]
    assert look(61, 1) == ["look"]
    assert look(62) == ["unfreeze", "look", "freeze"]
    assert look(3661) == ["look"]
    assert look(3663) == ["unfreeze", "look", "freeze"]
    assert pauses.frozen == 2


def test_garbage_that_was_set_aside_is_found_again() -> None:
    """By the real collector, in a process of its own: this one's tests need theirs."""
    script = """
import gc, weakref
from ragkit_api.pauses import Pauses

class Knot:
    def __init__(self):
        self.me = self

now = 0.0
gc.callbacks.append(Pauses(lambda: now))
gone, counts = [], []
for hour in range(5):
    knots = [Knot() for _ in range(1000)]
    gone.append(weakref.ref(knots[0]))
    now += 4000
    gc.collect()
    del knots
    counts.append(gc.get_freeze_count())
now += 4000
gc.collect()
assert [ref() for ref in gone] == [None] * 5
assert max(counts) - min(counts) < 1000, counts
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_crowd_with_unread_bodies_is_refused_before_it_has_sent_them(start: Any, twin: Any) -> None:
    running = start(MODEL, answers=False, in_flight=2, queue=2)
    host, port = running.url.removeprefix("http://").split(":")
    head = b"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    crowd = [socket.create_connection((host, int(port)), timeout=60) for _ in range(5)]
    try:
        for connection in crowd[:3]:
            connection.sendall(head)
        coming(running, 3)
        crowd[3].sendall(head)
        assert crowd[3].recv(4096).startswith(b"HTTP/1.1 503")
        crowd[0].close()
        coming(running, 2)
        crowd[4].sendall(head)
        coming(running, 3)
    finally:
        for connection in crowd:
            connection.close()
    coming(running, 0)


def coming(running: Any, count: int) -> None:
    """Wait until so many have been announced."""
    ends = time.monotonic() + 40
    while running.service.gate.coming != count:
        assert time.monotonic() < ends, running.service.gate.coming
        time.sleep(0.01)
