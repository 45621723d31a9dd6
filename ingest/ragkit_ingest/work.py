"""One file from bytes to encoded chunks: everything that needs neither store nor event loop.

Pure apart from reading the file, so that it runs the same in a thread and in a worker process.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from ragkit.nouns import Sparse
from ragkit.words.bm25 import encode_chunk
from ragkit_ingest.chunk import Sizes, Span, chunk, chunk_at
from ragkit_ingest.document import Parsed, Unreadable
from ragkit_ingest.limits import Limits
from ragkit_ingest.parse import MODULES, parse
from ragkit_ingest.sniff import sniff

Cutter = Literal["ragkit", "llama-index"]
TITLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read; `known` is the digest that needs no second parsing, if it is found again."""

    path: str
    known: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: chunks, or the reason why there are none, or neither because nothing changed.

    `sparse` follows the order of `spans`.
    """

    digest: str = ""
    reason: str = ""
    unchanged: bool = False
    kind: str = ""
    title: str = ""
    text: str = ""
    spans: tuple[Span, ...] = ()
    sparse: tuple[Sparse, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How files are read and cut; the same for all files of a run."""

    sizes: Sizes = Sizes()
    limits: Limits = Limits()
    cutter: Cutter = "ragkit"


def work(job: Job, recipe: Recipe, formats: Container[str] = MODULES) -> Outcome | None:
    """Read, parse, cut and encode a file; never raises because of what is in it. None for a format not in `formats`."""
    try:
        data = _read(job.path, recipe.limits)
        digest = sha256(data).hexdigest()
        if digest == job.known:
            return Outcome(digest, unchanged=True)
        kind = sniff(job.path, data)
        if kind not in formats:
            return None
        stem = os.path.splitext(os.path.basename(job.path))[0]  # noqa: PTH119, PTH122  for thousands of files
        parsed = parse(kind, data, recipe.limits)
        return encode(parsed, _cut(parsed, recipe), digest, kind, stem)
    except Unreadable as error:
        return Outcome(reason=str(error))
    except MemoryError:
        return Outcome(reason="needs more memory than a file may take")
    except RecursionError:
        return Outcome(reason="is nested too deeply")
    except Exception as error:  # whatever a hostile file makes a parser raise is that file's failure alone
        return Outcome(reason=f"could not be parsed ({type(error).__name__}: {error})"[:300])


def encode(parsed: Parsed, spans: tuple[Span, ...], digest: str, kind: str, stem: str) -> Outcome:
    """Weigh the terms of a parsed file's chunks; a file without a title goes by its name."""
    text, title = parsed.text, parsed.title[:TITLE_LENGTH] or stem
    sparse = (encode_chunk(title, span.section, text[span.start : span.end]) for span in spans)
    return Outcome(digest, "", False, kind, title, text, spans, tuple(sparse), parsed.metadata)


def _cut(parsed: Parsed, recipe: Recipe) -> tuple[Span, ...]:
    if recipe.cutter == "ragkit":
        return chunk(parsed, recipe.sizes)
    from ragkit_ingest.llama import cuts

    return chunk_at(parsed, cuts(parsed.text, recipe.sizes), recipe.sizes)


def _read(path: str, limits: Limits) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            # Reading up to the limit would set aside the limit's memory for every file.
            data = file.read(min(os.fstat(file.fileno()).st_size, limits.file) + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) > limits.file:
        raise Unreadable(f"is larger than {limits.file / 2**20:.0f} MiB: split it or raise [ingest] max_file_mib")
    if not data.strip(b"\x00\t\n\r \xef\xbb\xbf"):
        raise Unreadable("is empty")
    return data
