"""Compares the files found with the commit records: what to read, what is unchanged, what has vanished."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import chain
from types import MappingProxyType

from ragkit.nouns import DocumentRecord
from ragkit_ingest.facts import given_of, merged, too_many
from ragkit_ingest.load import Found, Loaded, Root, is_within
from ragkit_ingest.report import Failure

BASE, DIGEST, SIZE, MTIME = "base", "sha256", "size", "mtime_ns"
"""Keys of a record's metadata: where the file lay, what was in it, and what its folder entry said. One that was
uploaded lay nowhere: no run over folders finds it gone, or takes a file of its name for it."""
SETTLED_NS = 2 * 10**9
"""A file written this shortly before it was read may change again within one tick of its timestamp."""


@dataclass(frozen=True, slots=True)
class Task:
    """A file to read, with the record that it replaces."""

    found: Found
    source: str
    record: DocumentRecord | None
    uploaded: bool = False
    given: Mapping[str, str] = field(default_factory=dict)
    """Metadata that was given for it, now or earlier."""

    @property
    def base(self) -> str:
        return self.found.path[: -len(self.source) - 1]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run treats files: `revisit` reads also what looks unchanged, `cutting` is part of every revision.

    `uploaded` files lie nowhere. `given` is metadata for all of them.
    """

    cutting: str
    revisit: bool = False
    uploaded: bool = False
    given: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do."""

    tasks: tuple[Task, ...]
    unchanged: int
    vanished: tuple[DocumentRecord, ...]
    failures: tuple[Failure, ...]


def make_plan(loaded: Loaded, records: Sequence[DocumentRecord], manner: Manner) -> Plan:
    """What to read, what to leave and what to delete."""
    by_path = {path: record for record in records if (path := path_of(record)) is not None}
    by_source = {record.source: record for record in records}
    tasks: dict[str, Task] = {}
    failures = [Failure(*each) for each in loaded.unreadable]
    unchanged, kept = 0, set[str]()
    moves: set[tuple[str, str]] = set()
    for found in loaded.files:
        record = by_path.get(found.path) or by_source.get(found.source)
        source = record.source if record else found.source
        if reason := _name_taken(found, record, tasks.get(source), manner.uploaded):
            failures.append(Failure(found.path, reason))
            continue
        kept.add(source)
        if record is not None and path_of(record) != found.path and _is_same_file(found, record):
            moves.add((record.metadata.get(BASE, ""), found.base))
        task = Task(found, source, record, manner.uploaded, merged(given_of(record), manner.given))
        if reason := too_many(task.given):
            failures.append(Failure(source, reason))
            continue
        if manner.revisit or not _looks_unchanged(task, manner.cutting):
            tasks[source] = task
        else:
            unchanged += 1
    left = [record for record in records if record.source not in kept]
    gone = () if manner.uploaded else _vanished(loaded, left, moves)
    return Plan(tuple(tasks.values()), unchanged, tuple(gone), tuple(failures))


def _name_taken(found: Found, record: DocumentRecord | None, task: Task | None, uploaded: bool) -> str:
    """Who else has this file's name, if anybody has; a record whose file is gone has only moved.

    An upload never takes a file's name: the file may lie on another machine.
    """
    path = found.path if record is None else path_of(record)
    if path is None:
        return "" if uploaded else "has the same name as a document that was uploaded: rename one of them"
    other = path if task is None else task.found.path
    if other == found.path or (task is None and not uploaded and not os.path.exists(other)):  # noqa: PTH110
        return ""
    if uploaded:
        return "has the same name as a file that was ingested from a folder: give it another one"
    return f"has the same name as {other}: ingest both from a folder that holds both"


def document_id(tenant: str, source: str) -> str:
    """Stays the same for as long as the document keeps its name."""
    return _name("document", tenant, source)


def revision_of(digest: str, cutting: str, given: Mapping[str, str] = MappingProxyType({})) -> str:
    """Content, how it was cut and what was given with it: the same file cut otherwise is another revision."""
    return sha256("\n".join((cutting, digest, *chain(*sorted(given.items())))).encode()).hexdigest()[:32]


def chunk_name(tenant: str, document: str, revision: str, ordinal: int) -> str:
    """The name of the revision with the ordinal as its last eight digits."""
    return f"{_revision_name(tenant, document, revision)}{ordinal:08x}"


@lru_cache(maxsize=64)
def _revision_name(tenant: str, document: str, revision: str) -> str:
    return _name("chunk", tenant, document, revision)[:-8]


def _name(*parts: str) -> str:
    """A name in the shape of a UUID; the lengths keep `a`, `bc` apart from `ab`, `c`."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    raw = blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-8{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


def path_of(record: DocumentRecord) -> str | None:
    """Where a document's file lay, None for one that was uploaded."""
    base = record.metadata.get(BASE)
    return None if base is None else f"{base}/{record.source}"


def has_file(record: DocumentRecord) -> bool:
    path = path_of(record)
    return path is not None and os.path.exists(path)  # noqa: PTH110


def is_covered(record: DocumentRecord, roots: Iterable[Root]) -> bool:
    """Whether a run over these paths reads a document again, or finds it gone."""
    path = path_of(record)
    return path is not None and any(
        root.holds(path) or (root.covers(record.source) and os.path.exists(f"{root.base}/{record.source}"))  # noqa: PTH110
        for root in roots
    )


def _is_same_file(found: Found, record: DocumentRecord) -> bool:
    facts = record.metadata
    return facts.get(SIZE) == str(found.size) and facts.get(MTIME) == str(found.mtime_ns)


def _looks_unchanged(task: Task, cutting: str) -> bool:
    found, record = task.found, task.record
    if record is None or path_of(record) != found.path or not _is_same_file(found, record):
        return False
    return known_digest(task, cutting) != ""


def known_digest(task: Task, cutting: str) -> str:
    """The digest under which a file need not be read, or at least not be parsed, again."""
    if task.record is None:
        return ""
    digest = task.record.metadata.get(DIGEST, "")
    return digest if task.record.revision == revision_of(digest, cutting, task.given) else ""


def _vanished(
    loaded: Loaded, records: Iterable[DocumentRecord], moves: Container[tuple[str, str]]
) -> Iterable[DocumentRecord]:
    """Records under an ingested folder whose file is gone; what lies in a folder that cannot be listed is not gone.

    A folder that was moved is the same one only where one of its files shows it. `moves` are such pairs of bases.
    """
    for record in records:
        path = path_of(record)
        if path is None or os.path.exists(path) or any(is_within(path, folder) for folder in loaded.unlisted):  # noqa: PTH110
            continue
        moved = (root for root in loaded.roots if (record.metadata[BASE], root.base) in moves)
        if any(root.holds(path) for root in loaded.roots) or any(root.covers(record.source) for root in moved):
            yield record
