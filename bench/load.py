"""Load on the service against the twin: what the service adds to a model of 300 ms, and what it does when overloaded.

    python bench/load.py [--seconds 10] [--clients 1 50 200] [--latency 0.3] [--litellm .bench/litellm/bin/litellm]

Twin and service are processes of their own; this one only asks. What a question costs in the service itself is told
by `added`: the time of an answer less the latency of the model. All of them share the cores of this machine, so with
many clients the numbers are those of a busy machine. LiteLLM's proxy, which retrieves and checks nothing, is measured
in the same way in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from asker import encode, load, percentile
from gateway import chats, passing_on

from ragkit_api.keys import Key, Ring, digest_of, mint

MODEL = "anthropic/claude-haiku-5-5"
TOPICS = ("pump", "valve", "motor", "filter", "bearing", "gasket", "sensor", "relay", "boiler", "rotor")


def questions(url: str) -> list[bytes]:
    """One about each number of each topic, so that none is a repetition for long."""
    asked = [f"How long is the warranty of the {topic} number {number}?" for number in range(50) for topic in TOPICS]
    return [encode(url, "/v1/query", json.dumps({"question": it}).encode()) for it in asked]


TWIN = """
import sys
from ragkit_eval.twin.fixture import running_twin
from ragkit_eval.twin.world import Options

with running_twin(options=Options(latency=float(sys.argv[1]), requests_per_minute=10**6)) as twin:
    print(twin.base_url("anthropic"), flush=True)
    sys.stdin.read()
"""


@contextmanager
def twin(latency: float) -> Iterator[str]:
    """The twin in a process of its own; its address for Anthropic's protocol."""
    command = [sys.executable, "-c", TWIN, str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextmanager
def serving(folder: Path, twin_url: str, **api: Any) -> Iterator[str]:
    """The service in a process of its own, with documents about each topic."""
    documents = folder / "documents"
    documents.mkdir()
    for topic in TOPICS:
        text = f"# {topic}\n\n" + "".join(
            f"## Number {number}\n\nThe warranty of the {topic} number {number} lasts for {number + 2} years.\n\n"
            for number in range(50)
        )
        (documents / f"{topic}.md").write_text(text, encoding="utf-8")
    settings = f'[answer]\nmodel = "{MODEL}"\n[cache]\nanswers = false\n[providers.anthropic]\napi_key = "test"\n'
    settings += f'base_url = "{twin_url}"\n[api]\n' + "".join(f"{name} = {value}\n" for name, value in api.items())
    (folder / "ragkit.toml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "ragkit"]
    common = ["--store", str(folder / "kb"), "--config", str(folder / "ragkit.toml")]
    subprocess.run([*command, "ingest", str(documents), *common], check=True, capture_output=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "serve", "--port", "0", *common], stderr=log)
        try:
            yield _address(folder / "log")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _address(log: Path) -> str:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for word in log.read_text(encoding="utf-8").split():
            if word.startswith("http://"):
                httpx2.Client(trust_env=False, transport=httpx2.HTTPTransport(retries=20)).get(f"{word}/healthz")
                return word
        time.sleep(0.1)
    raise SystemExit("the service did not start: " + log.read_text(encoding="utf-8"))


def key_check() -> dict[str, float]:
    """Microseconds to check a key: a right one, a wrong secret, an unknown name."""
    secret, now = os.urandom(32), datetime.now(UTC)
    keys = {}
    for _ in range(1000):
        id_, whole = mint()
        keys[id_] = Key(id_, "t", "", ("query",), digest_of(whole, secret), now)
    ring = Ring(keys)
    shown = {"right": whole, "wrong secret": whole[:-4] + "AAAA", "unknown name": mint()[1]}
    found = {}
    for name, key in shown.items():
        began = time.perf_counter()
        for _ in range(20_000):
            ring.find(key, secret, now)
        found[name] = (time.perf_counter() - began) / 20_000 * 1e6
    return found


async def measure(
    url: str, asked: list[bytes], latency: float, clients: list[int], seconds: float
) -> list[dict[str, Any]]:
    await load(url, asked, 4, 3)
    rows = []
    for count in clients:
        run = await load(url, asked, count, seconds, pause=0.5)
        added = [took - latency for took in run.answered]
        rows.append(
            {
                "clients": count,
                "answers_per_second": round(run.goodput, 1),
                "p50_ms": round(percentile(run.answered, 0.5) * 1e3),
                "p99_ms": round(percentile(run.answered, 0.99) * 1e3),
                "added_p50_ms": round(percentile(added, 0.5) * 1e3, 1),
                "added_p99_ms": round(percentile(added, 0.99) * 1e3, 1),
                "statuses": dict(run.statuses),
            }
        )
    return rows


async def overload(url: str, crowd: int, seconds: float, base: int) -> dict[str, Any]:
    """The peak with as many clients as are answered at once; ten times as many; and how soon all is well again."""
    asked = questions(url)
    await load(url, asked, 4, 3)
    peak = await load(url, asked, base, seconds)
    run = await load(url, asked, crowd, seconds, pause=1.0)
    began = time.perf_counter()
    while (again := await load(url, asked, base, 2)).goodput < 0.8 * peak.goodput and time.perf_counter() - began < 60:
        pass
    return {
        "clients": crowd,
        "peak_per_second": round(peak.goodput, 1),
        "goodput_per_second": round(run.goodput, 1),
        "share_of_peak": round(run.goodput / peak.goodput, 3),
        "shed": len(run.shed),
        "shed_p50_ms": round(percentile(run.shed, 0.5) * 1e3, 1),
        "shed_p99_ms": round(percentile(run.shed, 0.99) * 1e3, 1),
        "accepted_p99_ms": round(percentile(run.answered, 0.99) * 1e3),
        "normal_again_s": round(time.perf_counter() - began, 1),
        "statuses": dict(run.statuses),
        "after_per_second": round(again.goodput, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--compute-processes", type=int, default=1, help="0: questions are computed in a thread")
    parser.add_argument("--litellm", type=Path, help="the program `litellm` of an environment that has its proxy")
    options = parser.parse_args()
    computing = {"compute_processes": options.compute_processes}
    found: dict[str, Any] = {"key_check_us": {name: round(us, 2) for name, us in key_check().items()}}
    with twin(options.latency) as models:
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder), models, **computing) as url:
            asked = questions(url)
            found["ragkit"] = asyncio.run(measure(url, asked, options.latency, options.clients, options.seconds))
        if options.litellm is not None:
            with (
                tempfile.TemporaryDirectory() as folder,
                passing_on(options.litellm, Path(folder), models, MODEL) as url,
            ):
                asked = chats(url, TOPICS)
                found["litellm"] = asyncio.run(measure(url, asked, options.latency, options.clients, options.seconds))
        limits = {"in_flight": options.in_flight, "queue": 2 * options.in_flight, "wait": 5.0, **computing}
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(Path(folder), models, **limits) as url,
        ):
            crowd = 10 * options.in_flight
            found["overload"] = asyncio.run(overload(url, crowd, options.seconds, options.in_flight))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
