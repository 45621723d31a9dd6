"""Requests made from the OpenAPI schema, with every check that schemathesis has, against a service over a socket."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
[checks.positive_data_acceptance]
# What is well-formed may still ask for what cannot be done, such as a schema that no provider could enforce.
expected-statuses = ["2xx", 400, 401, 402, 403, 404, 409, 429]

[[operations]]
include-name = "POST /v1/query"
# The same key of idempotency comes with one body and then with another.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 402, 409, 422]

[[operations]]
include-name = "POST /v1/documents"
# In a form every part is bytes: what the generator takes for a wrong type is a file like any other.
checks.negative_data_rejection.enabled = false
"""


@pytest.mark.slow
def test_no_request_gets_an_answer_that_was_not_declared(start: Any, tmp_path: Path) -> None:
    running = start()
    key = running.key()
    with running.client(key) as client:
        running.upload(client, a_md="# A\n\nA is the first letter of the alphabet.\n")
    config, report = tmp_path / "schemathesis.toml", tmp_path / "report.json"
    config.write_text(CONFIG, encoding="utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{running.url}/openapi.json", "--checks", "all", "--max-examples", "120"),
            *("--header", f"Authorization: Bearer {key}", "--seed", "1", "--continue-on-failure", "--no-color"),
            *("--report", "json", "--report-json-path", str(report), "--request-timeout", "60"),
            *("--warnings", "off", "--generation-database", "none"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1800,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-9000:] + ran.stderr[-2000:]
    assert json.loads(report.read_text(encoding="utf-8"))["test_cases"]["generated"] >= 5000
