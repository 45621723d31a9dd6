"""Jupyter notebooks: prose with its headings, and code; outputs are left out."""

from __future__ import annotations

import json
from typing import Any

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse.markdown import scan
from ragkit_ingest.text import clean, decode


def parse(data: bytes, limits: Limits) -> Parsed:
    try:
        notebook = json.loads(decode(data))
    except ValueError as error:
        raise Unreadable(f"is not a valid notebook: {error}") from error
    builder = TextBuilder(limits)
    for cell in _cells(notebook):
        source = cell.get("source", "")
        text, _ = clean("".join(map(str, source)) if isinstance(source, list) else str(source))
        if cell.get("cell_type") == "markdown":
            builder.include(Parsed(text, tuple(scan(text))))
        else:
            builder.add(text, "code")
    return builder.build()


def _cells(notebook: Any) -> list[dict[str, Any]]:
    cells = notebook.get("cells", []) if isinstance(notebook, dict) else []
    return [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
