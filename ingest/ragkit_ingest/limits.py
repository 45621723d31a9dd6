"""What a single file may cost at most, whatever it claims to be."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes unless they say otherwise; a file beyond one of them is refused with the reason."""

    file: int = 50 * MIB
    unpacked: int = 100 * MIB
    """Of all entries of a ZIP container together."""
    ratio: int = 100
    """Unpacked to packed, above `ratio_floor`."""
    ratio_floor: int = 10 * MIB
    entries: int = 1000
    depth: int = 200
    """Of nested XML elements."""
    pages: int = 2000
    characters: int = 10 * MIB
    seconds: float = 30.0
    memory: int = 1024 * MIB
    """Of a worker process, above what it needs to start."""
