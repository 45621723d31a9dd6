"""The folder of an embedded index: its lock, its description, its two shards.

lock          held by the process that has the index open, with its pid
index.json    what the index was built with, and which chunk folder is in force
documents/    the commit records
chunks-N/     the chunks; N grows each time a rebuilt shard takes the place of the old one
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ragkit.errors import NoIndex, StoreLocked
from ragkit.store import IndexSchema
from ragkit.stores.edge_errors import corrupt
from ragkit.stores.schema import check_schema, read_schema

DESCRIPTION = "index.json"
MOST_READ = 1 << 30
"""Bytes of texts that are read ahead: those of about 600,000 chunks."""


@dataclass(frozen=True, slots=True)
class Description:
    """`chunks` and `documents` name the folders in force, `built` counts the points in the search graph.

    `ready` is false while a first index is being made: nothing in it was acknowledged.
    """

    schema: IndexSchema
    chunks: str = "chunks-0"
    documents: str = "documents-0"
    built: int = 0
    ready: bool = False


def lock(folder: Path) -> IO[str]:
    """Take the folder for this process; the lock goes with the process, however it ends."""
    file = (folder / "lock").open("a+", encoding="utf-8")
    try:
        _lock_file(file)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreLocked(
            f"the index at {folder} is open in process {holder}: wait for it, ask through its REST service "
            f'(ragkit serve), or keep the index on a Qdrant server ([store] kind = "qdrant")'
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


if sys.platform == "win32":

    def _lock_file(file: IO[str]) -> None:
        import msvcrt

        file.seek(1 << 20)  # beyond the pid, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:

    def _lock_file(file: IO[str]) -> None:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_description(folder: Path) -> Description | None:
    """What the folder holds, None if it holds no index."""
    try:
        raw = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return Description(**(raw | {"schema": read_schema(raw["schema"], str(folder))}))
    except FileNotFoundError:
        if next(folder.glob("documents-*"), None):
            raise corrupt(folder, f"{DESCRIPTION} is missing") from None
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(folder, f"{DESCRIPTION} is not readable") from error


def write_description(folder: Path, description: Description) -> None:
    """Replace the description in one step, so that a crash leaves the old or the new one."""
    draft = folder / f"{DESCRIPTION}.new"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(description), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / DESCRIPTION)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where the system can."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_through(shard: Path, stop: Callable[[], bool] = lambda: False) -> int:
    """Have the system keep a shard's texts in memory, as far as there is room; how many bytes were read.

    The engine maps them and drops them from memory when it opens: each chunk of an answer would be one wait for the
    disk, and a question looks at eighty. A file that a rebuild has deleted meanwhile is nobody's any more.
    """
    done, block = 0, bytearray(1 << 20)
    for path in sorted(shard.glob("segments/*/payload_storage/page_*.dat")):
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            while done < MOST_READ and not stop() and (read := file.readinto(block)):
                done += read
    return done


def drop_leftovers(folder: Path, keep: Description | None) -> None:
    """Delete shards that are not in force: an interrupted rebuild's, or those that a rebuild replaced."""
    kept = (keep.chunks, keep.documents) if keep else ()
    for path in (*folder.glob("chunks-*"), *folder.glob("documents-*")):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def prepare(folder: Path, schema: IndexSchema | None, *, create: bool, anew: bool) -> Description:
    """The description of the index in a locked folder: as found, or of one that is still to be made.

    Beside an index in force a new one gets folders of its own, and nothing is written down until it takes over.
    """
    found = read_description(folder)
    in_force = found if found and found.ready else None
    if in_force and not anew:
        check_schema(in_force.schema, schema, str(folder))
        drop_leftovers(folder, in_force)
        return in_force
    if not create or schema is None:
        raise no_index(folder)
    drop_leftovers(folder, in_force)
    if in_force:
        name = secrets.token_hex(4)
        return Description(schema, f"chunks-{name}", f"documents-{name}")
    write_description(folder, Description(schema))
    return Description(schema)


def no_index(folder: Path) -> NoIndex:
    return NoIndex(f"there is no index at {folder}: run ragkit ingest PATH first, or set [store] path")
