"""What Prometheus and Grafana look at is what the service says, also when a real Prometheus reads it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"\bragkit_[a-z_]+")
MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"
QUESTION = "How long does the warranty of the pump last?"


def expressions() -> list[str]:
    """Every query of the dashboard and of the alerts."""
    board = json.loads((ROOT / "deploy/grafana/dashboards/ragkit.json").read_text(encoding="utf-8"))
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return queries + re.findall(r"expr: (.*)", alerts)


def told(text: str) -> dict[str, set[str]]:
    """The metrics of a page by name, with the labels that they have."""
    found: dict[str, set[str]] = {}
    for kind, name in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        endings = ("_bucket", "_sum", "_count") if name == "histogram" else ("",)
        found |= {f"{kind}{ending}": set() for ending in endings}
    for name, labels in re.findall(r"^(ragkit_[a-z_]+)\{(.*?)\}", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_dashboard_and_alerts_ask_for_metrics_and_labels_that_exist(start: Any) -> None:
    running = start("anthropic/claude-haiku-5-5", answers=False)
    with running.client() as client:
        running.upload(client, pump_md=MANUAL)
        assert client.post("/v1/query", json={"question": QUESTION}).status_code == 200
        metrics = told(client.get("/metrics").text)
    asked = set()
    for expression in expressions():
        for name in METRIC.findall(expression):
            assert name in metrics, f"{name} in {expression}"
            asked.add(name.removesuffix("_bucket"))
        labels = set(re.findall(r"by \(([a-z_, ]+)\)", expression)) | set(re.findall(r"(\w+)[!=]~?\"", expression))
        for label in {part.strip() for group in labels for part in group.split(",")} - {"job"}:
            known = [metrics[name] for name in METRIC.findall(expression) if metrics[name]]
            assert not known or any(label in it for it in known), f"{label} in {expression}"
    exported = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics if not name.endswith("_created")}
    assert exported - asked == set(), "a metric that nobody looks at"


def test_a_real_prometheus_reads_the_service_with_its_key(start: Any, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("there is no prometheus on this machine")
    running = start()
    key = running.key("ops", "metrics")
    (tmp_path / "key").write_text(key, encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(
        f"""global: {{scrape_interval: 1s}}
rule_files: ["{ROOT}/deploy/prometheus/alerts.yml"]
scrape_configs:
  - job_name: ragkit
    authorization: {{credentials_file: "{tmp_path}/key"}}
    static_configs: [{{targets: ["{running.url.removeprefix("http://")}"]}}]
""",
        encoding="utf-8",
    )
    log = tmp_path / "log"
    command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--web.listen-address=127.0.0.1:0"], stderr=out, stdout=out)
    try:
        wait_until_read(log)
    finally:
        process.terminate()
        process.wait(60)


def wait_until_read(log: Path) -> None:
    """Until Prometheus says that it could read the service; on a busy machine a first try may be too slow for it."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        address = re.search(r'Listening on" address=(\S+)', log.read_text(encoding="utf-8"))
        if address is not None:
            with httpx2.Client(trust_env=False) as client:
                reply = client.get(f"http://{address[1]}/api/v1/query", params={"query": 'up{job="ragkit"}'})
            found = reply.json().get("data", {}).get("result", []) if reply.status_code == 200 else []
            if found and found[0]["value"][1] == "1":
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8")[-2000:])
