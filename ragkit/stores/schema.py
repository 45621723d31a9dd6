"""What an index was built with: refusing to mix what cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragkit.errors import StoreMismatch
from ragkit.store import SCHEMA_VERSION, IndexSchema


def read_schema(raw: Mapping[str, Any], place: str) -> IndexSchema:
    """What an index recorded; the layout first, for another one may have recorded other things."""
    _check_layout(raw.get("version", 1), place)
    return IndexSchema(**raw)


def check_schema(found: IndexSchema, wanted: IndexSchema | None, place: str) -> None:
    """Refuse to mix what cannot be compared; None accepts what was recorded, except another layout."""
    _check_layout(found.version, place)
    if wanted is None or wanted == found:
        return
    parts = [
        f"{name} '{old or 'none'}', the settings ask for '{new or 'none'}'"
        for name, old, new in (
            ("embedder", found.embedder, wanted.embedder),
            ("dimensions", found.dimensions, wanted.dimensions),
            ("chunking", found.chunking, wanted.chunking),
        )
        if old != new
    ]
    raise StoreMismatch(
        f"the index at {place} was built with {'; with '.join(parts)}: "
        "put the settings back, or run ragkit ingest --rebuild"
    )


def _check_layout(version: int, place: str) -> None:
    if version != SCHEMA_VERSION:
        whose = "an earlier" if version < SCHEMA_VERSION else "a later"
        raise StoreMismatch(
            f"the index at {place} was made by {whose} ragkit: it has layout {version}, this one reads "
            f"{SCHEMA_VERSION}. Delete it and run ragkit ingest again, or use the ragkit that made it"
        )


def check_dimensions(schema: IndexSchema, vector: Sequence[float], place: str) -> None:
    """Refuse a vector that cannot come from the index's embedder, before the engine has seen it."""
    if len(vector) != schema.dimensions:
        raise StoreMismatch(
            f"a vector of {len(vector)} dimensions does not fit the index at {place}, made with embedder "
            f"'{schema.embedder or 'none'}' ({schema.dimensions or 0} dimensions): set [embedder] back, or run "
            "ragkit ingest --rebuild"
        )
