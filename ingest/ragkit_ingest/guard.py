"""ZIP containers and XML from strangers: sizes are counted while reading, entities are refused."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from ragkit_ingest.document import Unreadable
from ragkit_ingest.limits import MIB, Limits

_BLOCK = 256 * 1024


class Container:
    """A ZIP file whose entries together unpack to no more than the limits allow, whatever its directory says."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise Unreadable("is damaged: its ZIP container cannot be opened") from error
        entries = self._zip.infolist()
        if len(entries) > limits.entries:
            raise Unreadable(f"has {len(entries):,} entries, more than the {limits.entries:,} allowed")
        self._allowed = min(limits.unpacked, max(limits.ratio_floor, limits.ratio * len(data)))
        if sum(entry.file_size for entry in entries) > self._allowed:
            raise Unreadable(f"unpacks to more than {self._allowed / MIB:.0f} MiB")
        self.names = tuple(entry.filename for entry in entries)
        self._limits = limits

    def read(self, name: str) -> bytes:
        """An entry's bytes, counted as they come; `Unreadable` where it is missing, damaged, encrypted or too large."""
        parts: list[bytes] = []
        try:
            with self._zip.open(name) as entry:
                while part := entry.read(_BLOCK):
                    self._allowed -= len(part)
                    if self._allowed < 0:
                        raise Unreadable("unpacks to more than it declares")
                    parts.append(part)
        except KeyError as error:
            raise Unreadable(f"is damaged: it lacks its part {name}") from error
        except RuntimeError as error:
            raise Unreadable("is protected by a password") from error
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, zlib.error) as error:
            raise Unreadable(f"is damaged: its part {name} cannot be unpacked") from error
        return b"".join(parts)

    def xml(self, name: str) -> Element:
        return parse_xml(self.read(name), self._limits)


@dataclass(slots=True)
class Element:
    """An XML element under its local name: the strict and the usual namespaces of Office mean the same."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    tail: str = ""
    children: list[Element] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        return iter(self.children)

    def child(self, name: str) -> Element | None:
        return next((child for child in self.children if child.name == name), None)

    def walk(self, name: str | None = None) -> Iterator[Element]:
        """This element and all below it, in document order."""
        pending = [self]
        while pending:
            element = pending.pop()
            if name is None or element.name == name:
                yield element
            pending.extend(reversed(element.children))


def parse_xml(data: bytes, limits: Limits, encoding: str | None = None) -> Element:
    """A tree without namespaces. A document type with declarations of its own is refused, and so is deep nesting."""
    parser = expat.ParserCreate(encoding, namespace_separator=" ")
    root = Element("", {})
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > limits.depth:
            raise Unreadable(f"has XML nested more than {limits.depth} deep")
        local = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition(" ")[2], local)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def characters(text: str) -> None:
        parent = stack[-1]
        if parent.children:
            parent.children[-1].tail += text
        else:
            parent.text += text

    def entity(*_: object) -> int:
        raise Unreadable("declares XML entities, which could make it unfold without end")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.EntityDeclHandler = entity
    parser.ExternalEntityRefHandler = entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unreadable(f"is not well-formed XML: {error}") from error
    return root.children[0]
