"""What is installed, reachable and would be used, and why; for `ragkit doctor`. Keys are looked at, never shown."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from ragkit import __version__
from ragkit.calibration import Calibrations
from ragkit.embedders import make_embedder
from ragkit.errors import RagkitError
from ragkit.ledgers import open_ledger
from ragkit.ledgers.sql import SqlLedger
from ragkit.models import Catalogue, ModelSpec
from ragkit.rerankers import make_reranker
from ragkit.routing.tiers import build_ladder
from ragkit.settings import GeminiSettings, ProviderSettings, Settings
from ragkit.stores import open_store

State = Literal["ok", "off", "failed"]
CONNECT_SECONDS = 2.0
VERTEX_URL = "https://aiplatform.googleapis.com"


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of one system: in use and fine, not in use, or in use and broken; `detail` says what to do."""

    system: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class _Remote:
    """A provider as the doctor sees it: the package it needs, and where it lives unless the settings say otherwise."""

    name: str
    package: str
    extra: str
    url: str
    keyless: bool = False


REMOTES = (
    _Remote("anthropic", "anthropic", "anthropic", "https://api.anthropic.com"),
    _Remote("openai", "openai", "openai", "https://api.openai.com"),
    _Remote("gemini", "google-genai", "gemini", "https://generativelanguage.googleapis.com"),
    _Remote("vllm", "openai", "vllm", "", keyless=True),
    _Remote("gateway", "openai", "openai", "", keyless=True),
    _Remote("cohere", "httpx2", "cohere", "https://api.cohere.com"),
    _Remote("voyage", "httpx2", "voyage", "https://api.voyageai.com"),
)
LOCALS = (("fastembed", "fastembed"), ("bge", "FlagEmbedding"))


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at every system; nothing is changed and nothing billable is sent."""
    remotes = await asyncio.gather(*(_remote(remote, settings) for remote in REMOTES))
    return (
        Finding("ragkit", "ok", f"{__version__} on Python {sys.version.split()[0]}"),
        await _store(settings),
        await _ledger(settings),
        *_models(settings),
        *remotes,
        *(_local(name, package, settings) for name, package in LOCALS),
        _retrieval(settings),
    )


async def _store(settings: Settings) -> Finding:
    try:
        store = await open_store(settings)
    except RagkitError as error:
        missing = settings.store.kind == "edge" and not settings.store.path.exists()
        return Finding("store", "off" if missing else "failed", str(error))
    try:
        info = await store.info()
    finally:
        await store.aclose()
    return Finding("store", "ok", f"{info.kind} at {info.location}: {info.documents} documents, {info.chunks} chunks")


async def _ledger(settings: Settings) -> Finding:
    if settings.ledger.kind == "sqlite" and not settings.store.path.exists():
        return Finding("ledger", "off", "sqlite beside the index: made with it")
    try:
        ledger = open_ledger(settings)
        try:
            budgets = await ledger.budgets()
            learnt = await _learnt(settings, ledger)
        finally:
            await ledger.aclose()
    except RagkitError as error:
        return Finding("ledger", "failed", str(error))
    return Finding("ledger", "ok", f"{settings.ledger.kind}: {len(budgets)} budgets in force; {learnt}")


async def _learnt(settings: Settings, ledger: SqlLedger) -> str:
    """What the ledger has taught of tokenizers, beside what the price table guesses."""
    catalogue = Catalogue.of(settings.prices.file)
    calibrations = Calibrations(catalogue, ledger.counted)
    await calibrations.refresh()
    told = [_calibrated(catalogue.model(name), calibrations.spec(name)) for name in sorted(calibrations.learnt)]
    return "; ".join(told) or "tokens are estimated by the price table"


def _calibrated(guessed: ModelSpec, learnt: ModelSpec) -> str:
    now, then = (f"{float(it.typical):.2f} (at most {float(it.bound):.2f})" for it in (learnt, guessed))
    return f"{learnt.id} makes {now} tokens of an estimated one, where the price table has {then}"


def _models(settings: Settings) -> Iterator[Finding]:
    now = datetime.now(UTC)
    try:
        catalogue = Catalogue.of(settings.prices.file)
        ladder = build_ladder(settings, catalogue, now)
    except RagkitError as error:
        yield Finding("models", "failed", str(error))
        return
    yield Finding("models", "ok", f"{', '.join(model.id for model in ladder.models)}: {ladder.reason}")
    priced = [model.price_id for model in ladder.models if model.price_id]
    warnings = catalogue.warnings(now, priced)
    yield Finding("prices", "failed" if warnings else "ok", "; ".join(warnings) or f"version {catalogue.version}")


async def _remote(remote: _Remote, settings: Settings) -> Finding:
    configured: ProviderSettings = getattr(settings.providers, remote.name)
    project = configured.vertex_project if isinstance(configured, GeminiSettings) else None
    url = configured.base_url or (VERTEX_URL if project else remote.url)
    if not configured.usable and not (remote.keyless and configured.base_url):
        need = "[providers.{0}] base_url" if remote.keyless else "a key: set RAGKIT_PROVIDERS_{1}_API_KEY"
        return Finding(remote.name, "off", f"needs {need.format(remote.name, remote.name.upper())}")
    if _installed(remote.package) is None:
        return Finding(remote.name, "failed", f"has a key, but lacks its package: pip install 'ragkit[{remote.extra}]'")
    key = "no key" if configured.api_key is None else "key present"
    key = f"project {project} by Vertex AI" if project else key
    reachable = await _reachable(url)
    state: State = "ok" if reachable else "failed"
    return Finding(remote.name, state, f"{key}; {url} {'answers' if reachable else 'cannot be reached'}")


def _local(name: str, package: str, settings: Settings) -> Finding:
    found = _installed(package)
    wanted = name in (settings.embedder.name, settings.reranker.name)
    if found is None:
        return Finding(name, "failed" if wanted else "off", f"not installed: pip install 'ragkit[{name}]'")
    return Finding(name, "ok" if wanted else "off", f"{package} {found}{'' if wanted else ', not in use'}")


def _retrieval(settings: Settings) -> Finding:
    embedder, reranker = settings.embedder.name, settings.reranker.name
    try:
        make_embedder(settings)
        make_reranker(settings)
    except RagkitError as error:
        return Finding("retrieval", "failed", str(error))
    how = "by words (BM25) alone" if embedder == "none" else f"by words (BM25) and vectors of {embedder}"
    return Finding("retrieval", "ok", f"{how}, reranker {reranker}, {settings.retrieval.k} chunks before reranking")


def _installed(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


async def _reachable(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting in force and where it comes from."""

    name: str
    value: str
    origin: str


def settings_rows(settings: Settings, origins: Mapping[str, str], *, show_all: bool) -> tuple[SettingRow, ...]:
    """Settings by dotted name; secrets show only that they are set."""
    rows = (SettingRow(name, value, origins.get(name, "default")) for name, value in _flat(settings))
    return tuple(row for row in rows if show_all or row.origin != "default")


def _flat(section: BaseModel, within: str = "") -> Iterator[tuple[str, str]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{within}{name}.")
        else:
            yield within + name, "set, not shown" if isinstance(value, SecretStr) else str(value)


def findings_to_json(findings: Sequence[Finding], rows: Sequence[SettingRow]) -> dict[str, Any]:
    """The body of `ragkit doctor --json`."""
    return {"systems": [asdict(finding) for finding in findings], "settings": [asdict(row) for row in rows]}


def findings_text(findings: Sequence[Finding], rows: Sequence[SettingRow]) -> str:
    """A line per system, then the settings that are not defaults."""
    width = max(len(finding.system) for finding in findings)
    lines = [f"{finding.state:<6}  {finding.system:<{width}}  {finding.detail}" for finding in findings]
    lines.append("")
    lines += [f"{row.name} = {row.value}  ({row.origin})" for row in rows] or ["settings: all defaults"]
    return "\n".join(lines)
