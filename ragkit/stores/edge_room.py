"""Room on the disk of an embedded index.

The engine writes its files as memory: where one of them cannot grow, or a hole in it cannot be filled, there is no
error but a signal that ends the process, even while it only answers. So somebody looks at the disk before each write.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from ragkit.errors import StoreError
from ragkit.store import IndexedChunk

RESERVE = 16 << 20
"""Bytes that stay free whatever is written: the engine lays its log out ahead, and others use the disk as well."""
PER_CHARACTER, PER_DIMENSION, PER_POINT = 12, 12, 2048
"""Bytes that a point may take, its parts once in the log and once in their own files: some times what is usual."""
COPIES = 3
"""Of the chunks while their graph is built: a copy, what is made of it, and what lies between."""


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Room:
    """The disk that an index lies on; `free` tells how many bytes it has left."""

    def __init__(self, folder: Path, free: Callable[[Path], int] = free_bytes) -> None:
        self._folder = folder
        self._free = free

    def fits(self, size: int) -> bool:
        return self._free(self._folder) >= RESERVE + size

    def check(self, size: int = 0) -> None:
        """`StoreError` where that many bytes do not fit."""
        if (free := self._free(self._folder)) < (needed := RESERVE + size):
            raise StoreError(
                f"the disk that holds the index at {self._folder} has {free >> 20} MiB left: make room for "
                f"{-(-needed >> 20)} MiB and run the command again; what was committed is safe"
            )

    def check_chunks(self, chunks: Sequence[IndexedChunk]) -> None:
        characters = sum(len(item.chunk.text) + sum(map(len, chain(*item.metadata))) for item in chunks)
        dimensions = sum(len(item.dense or ()) for item in chunks)
        self.check_points(len(chunks), characters, dimensions)

    def check_points(self, points: int, characters: int = 0, dimensions: int = 0) -> None:
        self.check(points * PER_POINT + characters * PER_CHARACTER + dimensions * PER_DIMENSION)

    def holds_copies(self, shard: Path) -> bool:
        """Whether a graph can be built beside the chunks in use."""
        return self.fits(COPIES * sum(map(_size, shard.rglob("*"))))


def _size(file: Path) -> int:
    """Of a file that the writer may remove meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
