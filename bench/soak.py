"""The service under faults for a long time: does its memory grow, is anything held, is what it paid what was billed?

    python bench/soak.py [--minutes 30] [--clients 6] [--faults 0.1]

Clients ask as JSON, as a stream that they now and then leave, over OpenAI's protocol, search, upload and look at bills.
A tenth of the calls to the model fails. Memory is compared between the second and the last fifth of the time: the first
fifth loads what is loaded once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
from load import TOPICS, serving, twin

from ragkit.config import load_settings
from ragkit.ledgers import open_ledger

KINDS = ("rate_limit", "overloaded", "server_error", "reset", "cut_stream", "malformed_json", "slow_first_token")
PAUSE = 0.3
"""Seconds that a client thinks, on average."""


@dataclass
class Soak:
    dice: random.Random
    ends: float
    statuses: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.ends


async def call(client: httpx2.AsyncClient, soak: Soak, number: int) -> None:
    topic = soak.dice.choice(TOPICS)
    question = {"question": f"How long is the warranty of the {topic} number {soak.dice.randrange(50)}?"}
    kind = soak.dice.choices(("query", "stream", "leave", "chat", "search", "upload", "look"), (6, 4, 2, 3, 3, 1, 2))[0]
    if kind == "query":
        reply = await client.post("/v1/query", json=question)
    elif kind in ("stream", "leave"):
        async with client.stream("POST", "/v1/query", json={**question, "stream": True}) as reply:
            left = soak.dice.randrange(1, 3000) if kind == "leave" else None
            got = 0
            async for piece in reply.aiter_bytes():
                got += len(piece)
                if left is not None and got > left:
                    break
    elif kind == "chat":
        messages = [{"role": "user", "content": question["question"]}]
        reply = await client.post("/v1/chat/completions", json={"messages": messages})
    elif kind == "search":
        reply = await client.post("/v1/search", json=question)
    elif kind == "upload":
        text = f"# {topic}\n\nThe warranty of the extra {topic} lasts for {soak.dice.randrange(9)} years.\n"
        reply = await client.post("/v1/ingest", json={"documents": [{"source": f"extra{number}.md", "text": text}]})
    else:
        reply = await client.get(soak.dice.choice(("/v1/usage", "/v1/documents", "/v1/cache", "/metrics", "/readyz")))
    soak.statuses[f"{kind} {reply.status_code}"] += 1


async def ask(url: str, soak: Soak, number: int) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
        while not soak.over:
            try:
                await call(client, soak, number)
            except httpx2.TransportError as error:
                soak.statuses[type(error).__name__] += 1
            await asyncio.sleep(PAUSE * 2 * soak.dice.random())


async def watch(process: psutil.Process, soak: Soak) -> None:
    began = time.monotonic()
    while not soak.over:
        soak.memory.append((time.monotonic() - began, resident(process) / 2**20))
        await asyncio.sleep(2)


def resident(process: psutil.Process) -> int:
    """Bytes of the service and of the process that computes for it."""
    return sum(int(it.memory_info().rss) for it in (process, *process.children(recursive=True)))


async def run(url: str, process: psutil.Process, soak: Soak, clients: int) -> None:
    await asyncio.gather(watch(process, soak), *(ask(url, soak, number) for number in range(clients)))


def growth(memory: list[tuple[float, float]]) -> dict[str, float]:
    fifth = memory[-1][0] / 5
    early = statistics.median(size for at, size in memory if fifth <= at < 2 * fifth)
    late = statistics.median(size for at, size in memory if at >= 4 * fifth)
    return {"early_mib": round(early, 1), "late_mib": round(late, 1), "growth": round(late / early - 1, 4)}


async def booked(folder: Path) -> dict[str, Any]:
    """What the ledger says once the service has stopped."""
    ledger = open_ledger(load_settings(environment={}, overrides={"store": {"path": folder / "kb"}}))
    try:
        now = datetime.now(UTC)
        when = (now - timedelta(days=1), now + timedelta(days=1), None)
        posted = sum(cell.posted_pico for cell in await ledger.cells(*when))
        unknown = sum(cell.unknown for cell in await ledger.cells(*when))
        held = (await ledger.audit()).held_pico
        size = (folder / "kb" / "ledger.db").stat().st_size
        return {"posted_pico": posted, "unknown_events": unknown, "held_pico": held, "ledger_bytes": size}
    finally:
        await ledger.aclose()


def invoiced(url: str) -> int:
    return int(httpx2.get(f"{url.rsplit('/', 1)[0]}/twin/invoice", trust_env=False).json()["total_pico"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--faults", type=float, default=0.1)
    options = parser.parse_args()
    soak = Soak(random.Random(11), 0.0)
    with twin(0.1) as models, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = [{"kind": kind, "probability": options.faults / len(KINDS), "seconds": 1.0} for kind in KINDS]
        httpx2.post(f"{models.rsplit('/', 1)[0]}/twin/faults", json=faults, trust_env=False).raise_for_status()
        with serving(folder, models) as url:
            (process,) = [it for it in psutil.Process().children() if "serve" in it.cmdline()]
            soak.ends = time.monotonic() + options.minutes * 60
            asyncio.run(run(url, process, soak, options.clients))
        found = {
            "minutes": options.minutes,
            "calls": soak.statuses.total(),
            "memory": growth(soak.memory),
            **asyncio.run(booked(folder)),
            "invoiced_pico": invoiced(models),
            "statuses": dict(sorted(soak.statuses.items())),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
