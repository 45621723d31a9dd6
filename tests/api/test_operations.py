"""What operators see: keys from the command line, a service under a real signal, logs, spans."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ragkit import Ragkit, load_settings
from ragkit.errors import RagkitError
from ragkit_api.log import JsonLines
from ragkit_api.spans import open_spans
from ragkit_eval.twin.faults import Fault

MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor.\n"
QUESTION = "How long does the warranty of the pump last?"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("RAGKIT_")}


def ragkit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ragkit", *words, "--store", str(folder / "kb")]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, check=False)


def printed(folder: Path, *words: str) -> Any:
    done = ragkit(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_keys_are_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    made = printed(tmp_path, "key", "create", "--tenant", "acme", "--scopes", "query,admin", "--budget", "5")
    assert made["key"].startswith(f"rk_{made['id']}_")
    assert made["scopes"] == ["query", "admin"]
    new = printed(tmp_path, "key", "rotate", made["id"], "--overlap", "1h")
    assert new["key"] != made["key"]
    assert printed(tmp_path, "key", "revoke", made["id"])["revoked"]
    listed = ragkit(tmp_path, "key", "list")
    assert "revoked" in listed.stdout
    assert made["key"] not in listed.stdout
    assert [deed["action"] for deed in printed(tmp_path, "key", "audit")["audit"]] == [
        "key.revoke",
        "key.rotate",
        "key.create",
    ]
    budgets = printed(tmp_path, "budget", "list")["budgets"]
    assert [(it["scope"], it["subject"], it["limit_usd"]) for it in budgets] == [("key", made["id"], "5")]
    again = ragkit(tmp_path, "key", "revoke", made["id"])
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)


def test_a_signal_ends_a_served_stream_with_an_event(tmp_path: Path, twin: Any, events: Any) -> None:
    (tmp_path / "pump.md").write_text(MANUAL, encoding="utf-8")
    assert ragkit(tmp_path, "ingest", "pump.md").returncode == 0
    (tmp_path / "ragkit.toml").write_text(
        f'[answer]\nmodel = "anthropic/claude-haiku-5-5"\n[providers.anthropic]\napi_key = "secret-canary"\n'
        f'base_url = "{twin.base_url("anthropic")}"\n[api]\nport = 0\ndrain = 1.0\n',
        encoding="utf-8",
    )
    twin.faults.add(Fault("slow_first_token", seconds=20))
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "ragkit", "serve", "--store", str(tmp_path / "kb")]
        process = subprocess.Popen(command, stderr=out, cwd=tmp_path, env=ENVIRONMENT)
    try:
        url = address(log)
        with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
            body = {"question": QUESTION, "stream": True}
            with client.stream("POST", "/v1/query", json=body) as reply:
                pieces = reply.iter_text()
                text = next(pieces)
                process.send_signal(signal.SIGTERM)
                text += "".join(pieces)
        assert [name for name, _ in events(text)][-2:] == ["error", "done"]
        assert "shutting_down" in text
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
    said = log.read_text(encoding="utf-8")
    assert "there are no keys" in said
    assert QUESTION not in said
    assert "secret-canary" not in said
    (line,) = [json.loads(line) for line in said.splitlines() if "POST /v1/query" in line]
    assert line["error"] == "shutting_down"
    report = printed(tmp_path, "cost", "report")
    assert report["total"]["events"] >= 1


def address(log: Path) -> str:
    """Where it says that it serves, which is true at once."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for word in log.read_text(encoding="utf-8").split():
            if word.startswith("http://"):
                with httpx2.Client(trust_env=False, timeout=60) as client:
                    assert client.get(f"{word}/healthz").status_code == 200
                return word
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_a_line_of_the_log_says_where_but_not_what(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RagkitError("the secret text of a document")
    except RagkitError as error:
        caplog.set_level(logging.INFO)
        logging.getLogger("ragkit.api").error("%s", type(error).__name__, exc_info=error)
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert line["where"][0] == "RagkitError"
    assert "secret" not in json.dumps(line)


async def test_spans_tell_models_tokens_and_costs_and_no_text(tmp_path: Path, twin: Any) -> None:
    (tmp_path / "pump.md").write_text(MANUAL, encoding="utf-8")
    overrides: dict[str, Any] = {
        "store": {"path": tmp_path / "kb"},
        "answer": {"model": "anthropic/claude-haiku-5-5"},
        "providers": {"anthropic": {"api_key": "test", "base_url": twin.base_url("anthropic")}},
    }
    exporter = InMemorySpanExporter()
    spans = open_spans(None, exporter)
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "pump.md")
        answer = await rag.ask(QUESTION)
        spans.record(answer)
    spans.close()
    *events, whole = exporter.get_finished_spans()
    assert whole.name == "ragkit.answer"
    assert whole.attributes is not None
    assert whole.attributes["ragkit.receipt"] == answer.receipt.id
    (chat,) = [span for span in events if span.name.startswith("chat ")]
    assert chat.parent is not None
    assert chat.attributes is not None
    assert chat.attributes["gen_ai.operation.name"] == "chat"
    assert chat.attributes["gen_ai.usage.input_tokens"] == answer.receipt.events[-1].usage.prompt
    assert "five years" not in str([span.attributes for span in (*events, whole)])
