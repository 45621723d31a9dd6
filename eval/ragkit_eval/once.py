"""Work that set-ups have in common is done once: they ask the same questions of the same chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class Once:
    """A `Compute` that remembers. What the line computes this way rests on its arguments alone."""

    def __init__(self) -> None:
        self._done: dict[tuple[object, ...], object] = {}

    async def __call__(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        key = (work, *map(_fixed, args), *sorted(named.items()))
        if key not in self._done:
            self._done[key] = work(*args, **named)
        return cast("T", self._done[key])


def _fixed(value: object) -> object:
    """Sequences that are equal are the same work."""
    return tuple(value) if isinstance(value, list) else value
