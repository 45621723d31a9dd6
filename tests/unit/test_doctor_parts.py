"""What the doctor says of an embedder or a reranker that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragkit import load_settings
from ragkit.doctor import Finding, examine


async def retrieval(tmp_path: Path, **sections: Any) -> Finding:
    settings = load_settings(environment={}, overrides={"store": {"path": tmp_path / "kb"}, **sections})
    return next(finding for finding in await examine(settings) if finding.system == "retrieval")


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"reranker": {"name": "cohere"}}, "COHERE_API_KEY"),
        ({"embedder": {"name": "voyage"}}, "VOYAGE_API_KEY"),
        ({"embedder": {"name": "word2vec"}}, "no embedder is called 'word2vec'"),
    ],
)
async def test_what_cannot_work_is_told_with_what_to_change(tmp_path: Path, sections: Any, said: str) -> None:
    found = await retrieval(tmp_path, **sections)
    assert found.state == "failed"
    assert said in found.detail


async def test_what_can_work_is_named_without_its_key(tmp_path: Path) -> None:
    key = {"api_key": "sk-secret", "base_url": "http://127.0.0.1:1"}
    found = await retrieval(tmp_path, reranker={"name": "cohere"}, providers={"cohere": key})
    assert found.state == "ok"
    assert "cohere" in found.detail
    assert "secret" not in found.detail


async def test_a_project_of_google_cloud_needs_no_key(tmp_path: Path) -> None:
    project = {"vertex_project": "project-1", "base_url": "http://127.0.0.1:1"}
    overrides = {"store": {"path": tmp_path / "kb"}, "providers": {"gemini": project}}
    found = await examine(load_settings(environment={}, overrides=overrides))
    gemini, models = (next(it for it in found if it.system == name) for name in ("gemini", "models"))
    assert gemini.state == "failed"
    assert gemini.detail == "project project-1 by Vertex AI; http://127.0.0.1:1 cannot be reached"
    assert models.detail.startswith("extractive, gemini-2.5-flash-lite")
