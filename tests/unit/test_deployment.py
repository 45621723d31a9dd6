"""What is deployed fits together: compose, image, Prometheus, alerts and dashboard speak of the same service."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ragkit.config import load_settings

yaml: Any = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KNOWN = {
    "build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "ipc", "ports",
    "profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
SECRETS = ("RAGKIT_API_SECRET", "QDRANT_API_KEY", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))


def environment(service: dict[str, Any]) -> dict[str, str | None]:
    """Names with values; None where one is handed on from outside."""
    given = service.get("environment", {})
    pairs = given.items() if isinstance(given, dict) else (line.partition("=")[::2] for line in given)
    return {name: value or None for name, value in pairs}


def parser() -> list[str] | None:
    """Compose's own parser, where there is one: it needs no engine."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    found = shutil.which("docker-compose")
    return [found] if found else None


def test_composes_own_parser_takes_the_file() -> None:
    command = parser()
    if command is None:
        pytest.skip("there is no docker compose on this machine")
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", **dict.fromkeys(SECRETS, "x")}
    line = [*command, "-f", str(ROOT / "docker-compose.yml"), "--profile", "gpu", "config"]
    ran = subprocess.run(line, capture_output=True, text=True, env=variables, check=False)
    assert ran.returncode == 0, ran.stderr
    without = {name: value for name, value in variables.items() if name != "POSTGRES_PASSWORD"}
    refused = subprocess.run(line, capture_output=True, text=True, env=without, check=False)
    assert refused.returncode != 0
    assert "POSTGRES_PASSWORD" in refused.stderr


def test_the_services_and_what_they_rest_on_are_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"api", "grafana", "postgres", "prometheus", "qdrant", "vllm"}
    for name, service in services.items():
        assert set(service) <= KNOWN, name
        assert service.get("build") or re.search(r":v?\d", service["image"]), f"{name} names no version"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        for other, how in dict.fromkeys(service["depends_on"]).items() if "depends_on" in service else ():
            assert other in services
            wanted = service["depends_on"]
            if isinstance(wanted, dict) and wanted[other]["condition"] == "service_healthy":
                assert "healthcheck" in services[other], how
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).is_dir() if source.startswith(".") else source in compose["volumes"]
    assert services["vllm"]["profiles"] == ["gpu"]
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+):\?", text)) == set(SECRETS)


def test_the_settings_that_compose_gives_are_settings(compose: dict[str, Any]) -> None:
    given = {
        name: value or "http://vllm:8000/v1"
        for name, value in environment(compose["services"]["api"]).items()
        if name.startswith("RAGKIT_")
    }
    settings = load_settings(environment=given)
    assert (settings.store.kind, settings.ledger.kind) == ("qdrant", "postgres")
    assert settings.store.url == "http://qdrant:6333"
    assert settings.providers.vllm.base_url == "http://vllm:8000/v1"
    grace = int(compose["services"]["api"]["stop_grace_period"].rstrip("s"))
    assert grace > settings.api.drain + 5


def test_the_image_is_small_and_has_no_root() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", "", text).splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and all(user.isdigit() and int(user) > 0 for user in users)
    assert sum(line.startswith("FROM ") for line in lines) == 2
    assert any(line.startswith("HEALTHCHECK") and "/healthz" in line for line in lines)
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)", text, re.MULTILINE)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            sources = line.split()[1:-1]
            assert all((ROOT / source).exists() for source in sources)
            allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
            assert all(f"!{source}" in allowed for source in sources)


def dashboard() -> Any:
    specification = importlib.util.spec_from_file_location("dashboard", DEPLOY / "dashboard.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["dashboard"] = module
    specification.loader.exec_module(module)
    return module


def test_the_dashboard_is_what_its_script_writes() -> None:
    made = dashboard()
    assert made.FILE.read_text(encoding="utf-8") == made.text(), "run deploy/dashboard.py"
    panels = json.loads(made.text())["panels"]
    places = [(it["gridPos"]["x"], it["gridPos"]["y"]) for it in panels]
    assert len(set(places)) == len(places) > 10
    assert all(it["gridPos"]["x"] + it["gridPos"]["w"] <= 24 for it in panels)


def test_whoever_watches_is_not_counted_among_those_who_ask() -> None:
    """Health checks and scrapes come all the time: beside them failing questions would hardly show."""
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    queries = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    queries += [query for panel in dashboard().PANELS for query in panel.queries.values()]
    counted = r"ragkit_(?:requests_total|request_seconds_\w+)(?:\{([^}]*)\})?"
    selectors = [found for query in queries for found in re.findall(counted, query)]
    assert len(selectors) == 7
    for selector in selectors:
        routes = re.search(r'route=~"([^"]*)"', selector)
        assert routes is not None, selector
        assert re.fullmatch(routes[1], "/v1/query")
        assert not any(re.fullmatch(routes[1], path) for path in ("/healthz", "/readyz", "/metrics", "/"))


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    assert all(rule["annotations"]["summary"].endswith(".") for group in alerts["groups"] for rule in group["rules"])
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool on this machine")
    (tmp_path / "key").write_text("rk_", encoding="utf-8")
    config["scrape_configs"][0]["authorization"]["credentials_file"] = str(tmp_path / "key")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copy(DEPLOY / "prometheus" / "alerts.yml", tmp_path)
    ran = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
