"""Adapters of the store seam, one file per system; imported on use."""

from __future__ import annotations

from ragkit.settings import Settings
from ragkit.store import IndexSchema, Store


async def open_store(
    settings: Settings, schema: IndexSchema | None = None, *, create: bool = False, anew: bool = False
) -> Store:
    """The store that the settings name; without a schema, whatever the index was built with is accepted.

    With `anew` it is empty, and takes the place of what is there when it is published.
    """
    if settings.store.kind == "qdrant":
        from ragkit.stores.qdrant import open_qdrant

        return await open_qdrant(settings.store, schema, create=create, anew=anew)
    from ragkit.stores.edge import open_edge

    return await open_edge(settings.store.path, schema, create=create, anew=anew)
