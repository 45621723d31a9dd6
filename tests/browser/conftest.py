"""A real browser before a real service, the twin behind it: all of them once per session, a tenant for each test."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chromium import PATIENCE, Chromium, Page, find_chromium, running_chromium
from ragkit.config import load_settings
from ragkit_api.records import NewKey, Records
from ragkit_api.secret import read_secret
from ragkit_eval.twin.fixture import RunningTwin, running_twin

TENANTS = 40
"""Made before the service starts, which reads its keys once a second and not at once."""
SCOPES = {"all": "query,ingest,admin,metrics", "query": "query"}


@dataclass
class Site:
    """A running service; every test takes a tenant that nobody else has used."""

    url: str
    twin: RunningTwin
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def tenant(self) -> Tenant:
        name = f"tenant{next(self.numbers)}"
        return Tenant(self, name, self.keys[name])


@dataclass
class Tenant:
    """A tenant with its keys by name of their scopes."""

    site: Site
    name: str
    keys: dict[str, str]

    @property
    def key(self) -> str:
        return self.keys["all"]

    def client(self) -> httpx2.Client:
        headers = {"authorization": f"Bearer {self.key}"} if self.keys else {}
        return httpx2.Client(base_url=self.site.url, headers=headers, timeout=PATIENCE, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        with self.client() as client:
            return client.get(path, params=query).raise_for_status().json()

    def post(self, path: str, body: Any, method: str = "POST") -> Any:
        with self.client() as client:
            return client.request(method, path, json=body).raise_for_status().json()

    def upload(self, **texts: str) -> dict[str, Any]:
        """Ingest texts, `pump_md` as `pump.md`, and wait until they can be found."""
        documents = [{"source": name.replace("_", "."), "text": text} for name, text in texts.items()]
        job = self.post("/v1/ingest", {"documents": documents})
        while job["state"] in ("waiting", "running"):
            job = self.get(f"/v1/ingest/{job['job_id']}", wait=30)
        assert job["state"] == "done", job
        return dict(job)

    def ask(self, question: str, **more: Any) -> Any:
        return self.post("/v1/query", {"question": question, **more})

    def enter(self, page: Page, path: str = "/", scope: str = "all") -> None:
        """Open a page and type the key where it asks for it."""
        page.goto(self.site.url + path)
        if self.keys:
            page.write("dialog #key", self.keys[scope])
            loads = page.loads
            page.press("Enter")
            page.until(lambda: page.loads > loads, "the page to load again with its key")
        page.wait("!document.querySelector('#who').hidden && !document.querySelector('[aria-busy]')")
        # The browser tells of the reply that made the page ask for a key.
        page.problems[:] = [it for it in page.problems if "401" not in it]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("there is no Chromium here: `.ci/chromium COMMAND` installs it where it can")
    with running_chromium(binary, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_twin() as twin, serving(tmp_path_factory.mktemp("site"), twin, tenants=TENANTS) as found:
        yield found


@pytest.fixture
def tenant(site: Site) -> Iterator[Tenant]:
    yield site.tenant()
    site.twin.faults.set([])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go; RAGKIT_TEST_PICTURES names a folder that outlives the test."""
    folder = Path(os.environ.get("RAGKIT_TEST_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A server that must never hear of anything."""
    with Elsewhere() as server:
        yield server


class Elsewhere:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(204)
                self.end_headers()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *values: object) -> None:  # noqa: A002  the name is the library's
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Elsewhere:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts another service, for what concerns all tenants of one."""
    with running_twin() as twin:
        yield lambda **more: serving(tmp_path, twin, **more)


@contextmanager
def serving(folder: Path, twin: RunningTwin, *, tenants: int = 0, settings: str = "") -> Iterator[Site]:
    """`ragkit serve` as anybody would start it, with keys for so many tenants; `settings` are added to its own."""
    config = folder / "ragkit.toml"
    config.write_text(
        f'[store]\npath = "{folder / "kb"}"\n[answer]\nmodel = "anthropic/claude-haiku-5-5"\n'
        f'[providers.anthropic]\napi_key = "simulated"\nbase_url = "{twin.base_url("anthropic")}"\n'
        f"[api]\nport = 0\n{settings}",
        encoding="utf-8",
    )
    keys = asyncio.run(_make_keys(config, tenants))
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "ragkit", "serve", "--config", str(config)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Site(_address(process, folder / "service.log"), twin, keys)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, as it says itself, once it answers there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.startswith("ragkit serves ") and line.endswith("\n") and _answers(url := line.split()[2]):
                return url
        time.sleep(0.02)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", trust_env=False).is_success
    except httpx2.HTTPError:
        return False


async def _make_keys(config: Path, tenants: int) -> dict[str, dict[str, str]]:
    settings = load_settings(config, environment={})
    records = Records(settings)
    secret = read_secret(settings) if tenants else b""

    async def make(tenant: str) -> dict[str, str]:
        news = {name: NewKey(tenant, scopes=scopes) for name, scopes in SCOPES.items()}
        return {name: (await records.create_key(new, secret, "test"))[1] for name, new in news.items()}

    names = [f"tenant{number}" for number in range(tenants)]
    try:
        return dict(zip(names, await asyncio.gather(*map(make, names)), strict=True))
    finally:
        await records.aclose()
