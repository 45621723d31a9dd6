"""Indexes to try set-ups on: documents are ingested once per way of cutting them, and each set-up gets a copy."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ragkit import __version__
from ragkit.clock import utc_now
from ragkit.config import Settings, load_settings
from ragkit.rag import Ragkit
from ragkit_eval.cases import Dataset, write_documents
from ragkit_eval.twin.fixture import RunningTwin
from ragkit_ingest.pipeline import RULES, IngestOptions

KEYED = ("anthropic", "openai", "gemini", "cohere", "voyage", "gateway")
KEPT = ("ledger.db", "cache.db")
"""What an index must not bring along: a set-up begins without receipts and caches."""
NOTHING = bytes(1 << 16)


@dataclass(frozen=True, slots=True)
class Base:
    """The user's own settings: a file, and nothing of the environment where everything is simulated."""

    config: Path | None = None
    environment: Mapping[str, str] | None = None

    def settings(self, *overlays: Mapping[str, Any]) -> Settings:
        return load_settings(self.config, environment=self.environment, overrides=merged(*overlays))


def merged(*overlays: Mapping[str, Any]) -> dict[str, Any]:
    """Overlays laid over each other, later over earlier ones."""
    result: dict[str, Any] = {}
    for overlay in overlays:
        for key, value in overlay.items():
            below = result.get(key)
            result[key] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result


def twin_overlay(twin: RunningTwin) -> dict[str, Any]:
    """Sends every provider to the twin."""
    providers: dict[str, Any] = {name: {"api_key": "simulated", "base_url": twin.base_url(name)} for name in KEYED}
    return {"providers": {**providers, "vllm": {"base_url": twin.base_url("vllm")}}}


@dataclass(frozen=True, slots=True)
class Copy:
    """An index of its own for one set-up; `homes` tells which document of the data set a source is."""

    path: Path
    homes: Mapping[str, str]


def copy_with_holes(source: str, target: str) -> None:
    """An index has large files of which little is used: its copies would fill a disk with what is not there."""
    with Path(source).open("rb") as file, Path(target).open("wb") as copy:
        for block in iter(lambda: file.read(len(NOTHING)), b""):
            if block == NOTHING:
                copy.seek(len(block), os.SEEK_CUR)
            else:
                copy.write(block)
        copy.truncate()


class Library:
    """All indexes of a run, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = asyncio.Lock()
        self.ingested_pico: dict[str, int | None] = {}
        self.unreadable: list[str] = []

    async def copy(
        self, data: Dataset, settings: Settings, name: str, *, clock: Callable[[], datetime] = utc_now
    ) -> Copy:
        """An index of the data set, cut and embedded as the settings say; the same name is the same index again."""
        async with self._lock:
            whole, homes = await self._whole(data, settings, clock)
        place = self._folder / "setups" / name
        if not place.exists():
            part = place.with_name(f"{place.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            ignore = shutil.ignore_patterns(*(f"{name}*" for name in KEPT))
            shutil.copytree(whole, part, ignore=ignore, copy_function=copy_with_holes)
            part.rename(place)
        return Copy(place, homes)

    async def _whole(
        self, data: Dataset, settings: Settings, clock: Callable[[], datetime]
    ) -> tuple[Path, Mapping[str, str]]:
        """Ingested once; a folder that was not finished is begun anew."""
        how = f"{settings.ingest.model_dump_json()} {settings.embedder.model_dump_json()}"
        facts = f"{__version__} {RULES} {data.name} {how}"
        digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
        place = self._folder / "indexes" / f"{data.name}-{digest}"
        told = place / "homes.json"
        if told.exists():
            return place / "index", json.loads(told.read_text("utf-8"))
        shutil.rmtree(place, ignore_errors=True)
        homes = await asyncio.to_thread(write_documents, data.documents, place / "docs")
        source = (data.folder or place / "docs").absolute()
        own = settings.model_copy(update={"store": settings.store.model_copy(update={"path": place / "index"})})
        await self._ingest(own, source, clock)
        told.write_text(json.dumps(homes), encoding="utf-8")
        return place / "index", homes

    async def _ingest(self, settings: Settings, source: Path, clock: Callable[[], datetime]) -> None:
        async with Ragkit.open(settings, clock=clock) as rag:
            report = await rag.ingest(source, options=IngestOptions(here=source))
        self.unreadable += [f"{failure.source}: {failure.reason}" for failure in report.failures]
        self.ingested_pico[str(settings.store.path)] = report.cost_pico
