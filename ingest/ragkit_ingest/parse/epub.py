"""EPUB: its chapters in the order in which they are read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from ragkit_ingest.build import TextBuilder
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.guard import Container
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse import html


def parse(data: bytes, limits: Limits) -> Parsed:
    container = Container(data, limits)
    if "META-INF/encryption.xml" in container.names and b"EncryptedKey" in container.read("META-INF/encryption.xml"):
        raise Unreadable("is protected against copying")
    package = next(
        (root.attributes.get("full-path", "") for root in container.xml("META-INF/container.xml").walk("rootfile")), ""
    )
    builder = TextBuilder(limits)
    title = next((element.text for element in container.xml(package).walk("title")), "")
    for name in _chapters(container, package):
        builder.include(html.parse(container.read(name), limits))
    return builder.build(title)


def _chapters(container: Container, package: str) -> Iterator[str]:
    """The parts of the spine that are there, without the table of contents."""
    root = container.xml(package)
    folder = posixpath.dirname(package)
    items = {item.attributes.get("id", ""): item.attributes for item in root.walk("item")}
    for reference in root.walk("itemref"):
        item = items.get(reference.attributes.get("idref", ""), {})
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        if name in container.names and "nav" not in item.get("properties", "").split():
            yield name
