"""What `ragkit twin` needs: a twin from the command's options, and how to point ragkit and the SDKs at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragkit.errors import ConfigError, MissingExtra
from ragkit_eval.twin.faults import Fault, read_script

if TYPE_CHECKING:
    from ragkit_eval.twin.fixture import RunningTwin

SETTINGS = ("anthropic", "openai", "gemini", "vllm", "gateway", "cohere", "voyage")
"""The tables of `[providers]` that have a base URL."""


@contextmanager
def open_twin(
    *, port: int, faults: Path | None, seed: int, clock: datetime | None, rate: float
) -> Iterator[RunningTwin]:
    """A running twin; raises `ConfigError` for a bad script or a port that is taken."""
    try:
        from ragkit_eval.twin.fixture import running_twin
    except ImportError as error:
        raise MissingExtra("eval", "The twin") from error
    start = clock.replace(tzinfo=UTC) if clock and clock.tzinfo is None else clock
    context = running_twin(faults=_script(faults), seed=seed, start=start, rate=rate, port=port)
    try:
        running = context.__enter__()
    except OSError as error:
        raise ConfigError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another --port") from error
    try:
        yield running
    finally:
        context.__exit__()


def _script(file: Path | None) -> tuple[Fault, ...]:
    if file is None:
        return ()
    try:
        return read_script(file)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"fault script {file}: {error}") from error


def twin_to_json(twin: RunningTwin) -> dict[str, Any]:
    """What `ragkit twin --json` prints."""
    from ragkit_eval.twin.server import BASE_URLS

    urls = {name: twin.base_url(name) for name in BASE_URLS}
    return {"simulated": True, "url": twin.url, "base_urls": urls, "now": twin.clock.now().isoformat()}


def welcome(twin: RunningTwin) -> str:
    """Where it listens, and the variables that send ragkit to it."""
    lines = [
        f"twin: simulated providers on {twin.url}, no real model and no real money",
        f"invoice: {twin.url}/twin/invoice   requests: {twin.url}/twin/requests   stop: Ctrl-C",
        "",
    ]
    for name in SETTINGS:
        lines.append(f"export RAGKIT_PROVIDERS_{name.upper()}_BASE_URL={twin.base_url(name)}")
        lines += [f"export RAGKIT_PROVIDERS_{name.upper()}_API_KEY=simulated"] if name != "vllm" else []
    return "\n".join(lines)
