"""LiteLLM's proxy before the same twin, as the measure of what a gateway adds that does nothing but pass on.

It lives in an environment of its own, for it pins other versions of what we use:

    python -m venv .bench/litellm && .bench/litellm/bin/pip install 'litellm[proxy]'
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from asker import encode

KEY = "sk-load"
PASSAGE = "The warranty of the {topic} number {number} lasts for some years and covers the parts that do not wear. "


@contextmanager
def passing_on(program: Path, folder: Path, twin_url: str, model: str) -> Iterator[str]:
    """The proxy in a process of its own, with one worker, as ragkit's."""
    config = {
        "model_list": [
            {"model_name": "m", "litellm_params": {"model": model, "api_base": twin_url, "api_key": "test"}},
        ],
        "general_settings": {"master_key": KEY},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    keep = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "litellm.log").open("wb") as log:
        environment = {**keep, **quiet, "NO_PROXY": "127.0.0.1"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 180
    with httpx2.Client(trust_env=False, timeout=5) as client:
        while time.monotonic() < ends and process.poll() is None:
            try:
                if client.get(f"{url}/health/liveliness").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.5)
    raise SystemExit("LiteLLM's proxy did not start")


def chats(url: str, topics: tuple[str, ...]) -> list[bytes]:
    """The same questions with five passages each: what ragkit sends to the model after retrieval."""
    asked = []
    for number in range(50):
        for topic in topics:
            context = PASSAGE.format(topic=topic, number=number) * 10
            text = f"{context}\n\nQuestion: How long is the warranty of the {topic} number {number}?"
            body = {"model": "m", "max_tokens": 1024, "messages": [{"role": "user", "content": text}]}
            asked.append(
                encode(url, "/v1/chat/completions", json.dumps(body).encode(), (f"Authorization: Bearer {KEY}",))
            )
    return asked
