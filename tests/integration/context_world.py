"""An index whose chunks get contexts from a twin, for tests of batch ingest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from ragkit import Ragkit, load_settings
from ragkit.batches.sending import Env
from ragkit.contexts.report import Placed
from ragkit.contexts.service import ContextRun
from ragkit.nouns import Account, Chunk
from ragkit.settings import Settings
from ragkit_eval.twin.fixture import RunningTwin
from ragkit_ingest.pipeline import IngestOptions
from ragkit_ingest.report import IngestReport
from tests.integration.batch_world import KEYED, urls

HAIKU = "anthropic/claude-haiku-5-5"
LUNA = "openai/gpt-6-luna"
FLASH = "gemini/gemini-3.8-flash"
WEAR = (
    "Look for wear, listen for noise, and write down what was found, by whom and on which day, before work goes on. "
    "Tools are cleaned and counted, and the area around the machine is left dry and free of whatever might be drawn in."
)
PARTS = ("filter", "bearing", "flange", "impeller", "gasket", "motor", "valve", "coupling")
INTRODUCTION = "These pages describe the Zephyr turbopump of the Aurora plant."
MANUAL = f"# Maintenance\n\n{INTRODUCTION} {WEAR}\n" + "".join(
    f"\n## The {part}\n\nThe {part} is serviced every {400 + 10 * place} hours of operation. {WEAR}\n"
    for place, part in enumerate(PARTS)
)
SHORT = "# Note\n\nThe canteen is closed on Fridays.\n"


def settings(folder: Path, twin_urls: dict[str, str], model: str = HAIKU, **sections: Any) -> Settings:
    """`sections` are laid over what the tests have in common."""
    ingest = {"context": "batch", "context_model": model, "target_tokens": 80, "max_tokens": 160}
    overrides: dict[str, Any] = {
        "store": {"path": folder / "kb"},
        "answer": {"model": HAIKU},
        "providers": {name: {"api_key": "test", "base_url": twin_urls[name]} for name in KEYED},
        **sections,
        "ingest": {**ingest, **sections.get("ingest", {})},
    }
    return load_settings(environment={}, overrides=overrides)


@asynccontextmanager
async def opened(folder: Path, twin: RunningTwin, model: str = HAIKU, **sections: Any) -> AsyncIterator[Ragkit]:
    """The index, by the twin's clock."""
    async with Ragkit.open(settings(folder, urls(twin), model, **sections), clock=twin.clock.now) as rag:
        yield rag


def write(folder: Path, **texts: str) -> Path:
    """Files of these names, as Markdown; the folder that holds them."""
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    for name, text in texts.items():
        (docs / f"{name}.md").write_text(text, encoding="utf-8")
    return docs


async def collect(rag: Ragkit, account: Account | None = None) -> IngestReport:
    return await rag.ingest([], options=IngestOptions(collect=True), account=account)


def placed(report: IngestReport) -> Placed:
    assert isinstance(report.context, Placed)
    return report.context


async def chunks_of(rag: Ragkit, tenant: str = "default") -> dict[str, tuple[Chunk, ...]]:
    """By the name of the file, without its folder."""
    store = await rag.store()
    records = await store.records(tenant)
    return {Path(record.source).stem: await store.chunks(tenant, record.id) for record in records}


def at_once(rag: Ragkit, twin: RunningTwin) -> ContextRun:
    """A run that does not wait for a lost submission to show up."""
    return ContextRun(rag.parts, Account(), Env(now=twin.clock.now, grace=timedelta()))
