"""A question through Vertex AI, with Google Cloud's own credentials and no key: asked, cited and billed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragkit import Ragkit, load_settings
from ragkit.bill import simulated_in
from ragkit.nouns import Query
from ragkit_eval.twin.fixture import RunningTwin
from service_account import use_account, write_account

MANUAL = "# Pump\n\nThe warranty of the pump lasts for five years and covers the motor. Wear parts are not covered.\n"


class Warranty(BaseModel):
    years: int
    covered: str


async def test_a_project_is_enough_to_be_answered(
    tmp_path: Path, twin: RunningTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_account(tmp_path, monkeypatch)
    write_account(tmp_path, f"{twin.url}/oauth2/token")
    (tmp_path / "manual.md").write_text(MANUAL, encoding="utf-8")
    project = {"vertex_project": "project-1", "base_url": twin.base_url("gemini")}
    overrides: dict[str, Any] = {"store": {"path": tmp_path / "kb"}, "providers": {"gemini": project}}
    async with Ragkit.open(load_settings(environment={}, overrides=overrides)) as rag:
        await rag.ingest(tmp_path / "manual.md")
        answer = await rag.answer(Query("How long does the warranty of the pump last?", schema=Warranty))
        audit = await rag.parts.ledger.audit()
    (seen,) = twin.requests
    assert "/projects/project-1/locations/global/publishers/google/models/gemini-2.5-flash-lite" in seen.path
    assert answer.citations and not answer.abstained
    assert (
        answer.receipt.cost_pico == simulated_in(answer.receipt) == sum(line.pico or 0 for line in twin.invoice.lines)
    )
    assert (audit.open_holds, audit.held_pico) == (0, 0)
