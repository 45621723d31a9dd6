"""Which version of a tenant's documents questions see: what caches of answers and prefixes depend on."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ragkit.nouns import DocumentRecord
from ragkit.store import Store

FRESH_SECONDS = 2.0
"""How old a version may be where other processes can ingest, too."""


def corpus_version(records: Iterable[DocumentRecord]) -> str:
    """A name for exactly these revisions of exactly these documents."""
    lines = sorted(f"{record.id}\0{record.revision}" for record in records)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


class Corpus:
    """The versions of all tenants. While documents change there is none, and nothing may be cached.

    `shared` says that other processes may change documents; then a version is asked for again every `fresh` seconds.
    """

    def __init__(
        self, *, shared: bool, fresh: float = FRESH_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared = shared
        self._fresh = fresh
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}
        self._changing: Counter[str] = Counter()

    async def version(self, store: Store, tenant: str) -> str | None:
        """None while an ingest of this process is under way."""
        if self._changing[tenant]:
            return None
        known = self._known.get(tenant)
        if known is not None and (not self._shared or self._clock() - known[1] < self._fresh):
            return known[0]
        asked = self._clock()
        found = corpus_version(await store.records(tenant))
        if self._changing[tenant]:
            return None
        self._known[tenant] = found, asked
        return found

    @contextmanager
    def changing(self, tenant: str) -> Iterator[None]:
        """Documents of this tenant are about to change; what was known of them is forgotten before and after."""
        self._changing[tenant] += 1
        try:
            yield
        finally:
            self._changing[tenant] -= 1
            self._known.pop(tenant, None)
