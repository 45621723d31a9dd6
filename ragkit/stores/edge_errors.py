"""What the embedded engine raises, as sentences: it knows only `Exception` with a text, and panics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ragkit.errors import RagkitError, StoreCorrupt, StoreError

SURROUNDINGS = ("No space left on device", "Permission denied", "Read-only file system", "Too many open files")
DAMAGE = ("decode", "deserialize", "decompress", "Corrupted", "failed to load", "failed to open WAL")


@contextmanager
def engine_errors(folder: Path, *, opening: bool = False) -> Iterator[None]:
    """Whatever fails while an index is opened, and is not the machine's fault, is damage to its files."""
    try:
        yield
    except RagkitError:
        raise
    except Exception as error:
        raise _sentence(folder, str(error), opening) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the engine's own, and no subclass of Exception
            raise
        raise corrupt(folder, "the engine gave up on its files") from error


def corrupt(folder: Path, reason: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"the index at {folder} is damaged ({reason}): restore the folder from a backup, or delete it and run "
        "ragkit ingest again"
    )


def _sentence(folder: Path, text: str, opening: bool) -> StoreError:
    for words in SURROUNDINGS:
        if words in text:
            return StoreError(f"the index at {folder} cannot be used: {words.lower()}")
    if opening or any(words in text for words in DAMAGE):
        return corrupt(folder, "the engine cannot read its files")
    return StoreError(f"the index at {folder} failed: {text.splitlines()[0] if text else 'no reason given'}")
