"""The demo's PDF, DOCX and HTML are made from our pages, and read back as what they were made from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ragkit_ingest.document import Parsed
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse import parse
from ragkit_ingest.sniff import sniff

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def made() -> dict[str, bytes]:
    spec = importlib.util.spec_from_file_location("make_formats", ROOT / "bench" / "make_formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files: dict[str, bytes] = module.make()
    return files


def read(name: str, data: bytes) -> Parsed:
    return parse(sniff(name, data), data, Limits())


def words(text: str) -> set[str]:
    return {"".join(filter(str.isalnum, word)) for word in text.split()}


@pytest.mark.parametrize("name", ["receipts.pdf", "stores.docx", "errors.html"])
def test_made_files_are_up_to_date_and_say_what_their_page_says(name: str) -> None:
    data = (DOCS / name).read_bytes()
    assert data == made()[name], "a page has changed: run python bench/make_formats.py"
    page = (DOCS / name).with_suffix(".md").read_bytes()
    origin, copy = read("page.md", page), read(name, data)
    assert copy.title == origin.title
    assert [b.title for b in copy.blocks if b.kind == "heading"] == [
        b.title for b in origin.blocks if b.kind == "heading"
    ]
    ours, theirs = words(origin.text), words(copy.text)
    assert len(theirs & ours) > 0.9 * len(theirs)
