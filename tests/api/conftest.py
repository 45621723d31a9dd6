"""A service over a real socket, with the twin behind it, in a thread of its own; each test gets a fresh one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
import pytest

from ragkit.config import load_settings
from ragkit.settings import Settings
from ragkit_api.records import NewKey
from ragkit_api.secret import read_secret
from ragkit_api.server import build_server
from ragkit_api.service import Service
from ragkit_eval.twin.fixture import RunningTwin, running_twin


@dataclass
class Running:
    """A service that listens; `key` makes a key, `client` speaks to it."""

    url: str
    settings: Settings
    service: Service
    loop: asyncio.AbstractEventLoop
    stop: Callable[[], None]

    def key(self, tenant: str = "acme", scopes: str = "query,ingest,admin,metrics", **more: Any) -> str:
        new = NewKey(tenant, scopes=scopes, **more)
        secret = read_secret(self.settings)
        whole = self.run(self.service.records.create_key(new, secret, "test"))[1]
        self.service.keys._read = float("-inf")
        return str(whole)

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def client(self, key: str | None = None, **more: Any) -> httpx2.Client:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **more)

    def upload(self, client: httpx2.Client, **files: str) -> dict[str, Any]:
        """Upload texts, `manual_md` as `manual.md`, and wait until they can be found."""
        parts = [("files", (name.replace("_", "."), text.encode())) for name, text in files.items()]
        job = client.post("/v1/documents", files=parts)
        assert job.status_code == 202, job.text
        done = client.get(f"/v1/ingest/{job.json()['job_id']}", params={"wait": 30}).json()
        assert done["state"] == "done", done
        return dict(done)


class _Thread:
    """A server in a thread: its own way of running would take over the signals of the process."""

    def __init__(self, settings: Settings) -> None:
        self._server = build_server(settings)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), name="service", daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> tuple[Service, asyncio.AbstractEventLoop]:
        self._thread.start()
        assert self._ready.wait(30), "the service did not start"
        return self._server._app.state.service, self._loop

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(60)
            assert not self._thread.is_alive(), "the service did not stop"

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._listener])
        self._ready.set()
        await self._stopping.wait()
        await self._server.shutdown(sockets=[self._listener])


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture
def start(tmp_path: Path, twin: RunningTwin) -> Iterator[Callable[..., Running]]:
    """Starts a service; `model` answers through the twin, `answers` says to cache them, the rest is `[api]`.

    `sections` are laid over what the tests have in common; `keys` are of providers beside Anthropic.
    """
    with ExitStack() as stack:

        def begin(
            model: str = "extractive",
            *,
            answers: bool = True,
            keys: Sequence[str] = (),
            sections: Mapping[str, Any] = MappingProxyType({}),
            **api: Any,
        ) -> Running:
            names = ("anthropic", *keys)
            providers = {name: {"api_key": "test-secret-canary", "base_url": twin.base_url(name)} for name in names}
            overrides: dict[str, Any] = {
                "store": {"path": tmp_path / "kb"},
                "answer": {"model": model},
                "cache": {"answers": answers},
                "providers": providers,
                "api": {"port": 0, "drain": 5.0, "compute_processes": 0, **api},
                **sections,
            }
            settings = load_settings(environment={}, overrides=overrides)
            thread = _Thread(settings)
            stack.callback(thread.stop)
            return Running(thread.url, settings, *thread.start(), thread.stop)

        yield begin


@pytest.fixture
def events() -> Callable[[str], list[tuple[str, Any]]]:
    """Reads a whole stream of Server-Sent Events."""

    def read(text: str) -> list[tuple[str, Any]]:
        found = []
        for block in text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            data = fields["data"]
            found.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
        return found

    return read
