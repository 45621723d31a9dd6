"""Questions with what is known about their answers, and the documents that they are asked about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ragkit.nouns import Turn


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document as a data set holds it; `id` is what cases call it."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A question with everything that is known of its answer.

    `relevant` are ids of documents that answer it and `answers` texts that do, either may be empty; `answerable` is
    None where nobody said. `group` is what results can be split by.
    """

    id: str
    question: str
    relevant: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    answerable: bool | None = None
    history: tuple[Turn, ...] = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Documents and cases; `folder` is set instead of `documents` where they are files of the user's own."""

    name: str
    cases: tuple[Case, ...]
    documents: tuple[SourceDocument, ...] = ()
    folder: Path | None = field(default=None)

    def sample(self, size: int | None, seed: int) -> Dataset:
        """At most `size` cases, drawn by the seed, in the order of the set."""
        if size is None or size >= len(self.cases):
            return self
        drawn = random.Random(f"{seed} {self.name}").sample(range(len(self.cases)), size)  # noqa: S311
        return replace(self, cases=tuple(self.cases[index] for index in sorted(drawn)))


def source_names(documents: tuple[SourceDocument, ...]) -> Iterator[tuple[SourceDocument, str]]:
    """A file name for each document: its place, so that no two collide, then its title, which it is found by."""
    for number, document in enumerate(documents):
        title = "".join(letter if letter.isalnum() or letter in " -_,()'" else " " for letter in document.title)
        yield document, f"{number:06d}/{' '.join(title.split())[:120] or 'untitled'}.txt"


def write_documents(documents: tuple[SourceDocument, ...], folder: Path) -> dict[str, str]:
    """Write each document as a file; which document lies at which path below the folder."""
    homes = {}
    for document, name in source_names(documents):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(document.text, encoding="utf-8")
        homes[name] = document.id
    return homes
