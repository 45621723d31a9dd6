"""Steering a twin over HTTP, its command, and that everything it says is labelled as simulated."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from ragkit.errors import EXIT_CODES, ConfigError, MissingExtra
from ragkit_eval.twin import Fault, RunningTwin, running_twin
from ragkit_eval.twin.rehearsal import open_twin, twin_to_json, welcome

BODY = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "The sky is blue.\n\nQuestion: Is it?"}]}


@pytest.fixture
def twin() -> Iterator[RunningTwin]:
    with running_twin() as running:
        yield running


@pytest.fixture
def http(twin: RunningTwin) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=twin.url, headers={"authorization": "Bearer secret-key"}) as client:
        yield client


def test_the_invoice_is_served_as_json(http: httpx2.Client) -> None:
    http.post("/openai/v1/chat/completions", json=BODY)
    invoice = http.get("/twin/invoice").json()
    (line,) = invoice["lines"]
    assert invoice["simulated"] is True and invoice["unpriced"] == []
    assert invoice["total_usd"] == line["amount_usd"] and invoice["total_pico"] == line["amount_pico"] > 0
    assert line["model"] == "gpt-6-luna" and line["usage"]["output"] > 0


def test_requests_are_kept_as_they_came_but_without_keys(http: httpx2.Client) -> None:
    http.post("/openai/v1/chat/completions", json=BODY)
    seen = http.get("/twin/requests")
    assert seen.json()["requests"][0]["body"] == BODY
    assert seen.json()["requests"][0]["status"] == 200
    assert "secret-key" not in seen.text


def test_faults_are_set_and_read_back(http: httpx2.Client) -> None:
    script = {"fault": [{"kind": "overloaded", "nth": [1]}], "seed": 7}
    assert http.post("/twin/faults", json=script).json() == {"simulated": True, **script}
    assert http.post("/openai/v1/chat/completions", json=BODY).status_code == 529
    assert http.post("/openai/v1/chat/completions", json=BODY).status_code == 200
    wrong = http.post("/twin/faults", json=[{"kind": "explode"}])
    assert wrong.status_code == 400 and "unknown fault" in wrong.json()["error"]


def test_the_clock_is_set_and_advanced(http: httpx2.Client) -> None:
    now = http.post("/twin/clock", json={"set": "2026-12-01T00:00:00+00:00", "advance": 60}).json()["now"]
    assert now.startswith("2026-12-01T00:01:0")
    assert http.post("/twin/clock", json={"advance": -1}).status_code == 400


def test_reset_forgets_requests_invoice_and_caches(http: httpx2.Client) -> None:
    http.post("/openai/v1/chat/completions", json=BODY)
    http.post("/twin/reset")
    assert http.get("/twin/invoice").json()["lines"] == http.get("/twin/requests").json()["requests"] == []


def test_what_ends_after_a_reset_is_not_on_the_new_invoice(http: httpx2.Client, twin: RunningTwin) -> None:
    twin.faults.add(Fault("slow_first_token", seconds=0.5))
    with ThreadPoolExecutor() as pool:
        late = pool.submit(http.post, "/openai/v1/chat/completions", json=BODY)
        while not twin.requests:
            time.sleep(0.01)
        twin.reset()
        assert late.result().status_code == 200
    assert twin.invoice.lines == ()


def test_everything_is_labelled(http: httpx2.Client) -> None:
    for path in ("/", "/twin", "/twin/invoice", "/openai/v1/models", "/nowhere", "/vllm/metrics"):
        assert http.get(path).headers["x-ragkit-twin"] == "simulated", path
    assert "simulated" in http.get("/twin").text


def test_what_is_not_simulated_is_said_in_the_protocols_own_words(http: httpx2.Client) -> None:
    answer = http.post("/anthropic/v1/skills", json={})
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "not_found_error"


def test_two_runs_give_the_same_answers_and_ids() -> None:
    texts = []
    for _ in range(2):
        with running_twin() as twin:
            answer = httpx2.post(
                f"{twin.base_url('openai')}/chat/completions", json=BODY, headers={"authorization": "Bearer k"}
            )
            texts.append({**answer.json(), "created": 0})
    assert texts[0] == texts[1]


def test_opening_says_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "script.toml"
    bad.write_text('[[fault]]\nkind = "explode"\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options, complaint in (
            ({"faults": bad}, "unknown fault 'explode'"),
            ({"faults": tmp_path / "none.toml"}, "No such file"),
            ({"port": port}, "choose another --port"),
        ):
            settings = {"port": 0, "faults": None, "seed": 0, "clock": None, "rate": 1.0, **options}
            with pytest.raises(ConfigError, match=complaint), open_twin(**settings):
                pass


def test_without_its_packages_the_command_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['ragkit', 'twin'];from ragkit.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == EXIT_CODES[MissingExtra]
    assert "pip install 'ragkit[eval]'" in ran.stderr and "Traceback" not in ran.stderr


def test_the_welcome_names_every_variable(twin: RunningTwin) -> None:
    text = welcome(twin)
    assert "simulated" in text and "no real money" in text
    assert f"RAGKIT_PROVIDERS_ANTHROPIC_BASE_URL={twin.url}/anthropic" in text
    assert twin_to_json(twin)["base_urls"]["vllm"] == f"{twin.url}/vllm/v1"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_the_command_runs_until_it_is_interrupted(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"kind": "overloaded", "nth": 1}]')
    command = [
        sys.executable,
        "-m",
        "ragkit",
        "twin",
        "--json",
        "--faults",
        str(script),
        "--clock",
        "2026-12-01T00:00:00",
    ]
    # A shell has its background jobs ignore interrupts, and they pass that on.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)
    with process:
        assert process.stdout is not None
        printed = ""
        while not printed.endswith("}\n"):
            printed += process.stdout.readline()
        told = json.loads(printed)
        assert told["simulated"] is True and told["now"].startswith("2026-12-01")
        url, headers = told["base_urls"]["openai"], {"authorization": "Bearer k"}
        statuses = [httpx2.post(f"{url}/chat/completions", json=BODY, headers=headers).status_code for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert statuses == [529, 200]
    assert process.returncode == 0 and "simulated invoice: 1 lines" in errors
