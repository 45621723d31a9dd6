"""Gives chunks their dense vectors, after they have become searchable by their words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from ragkit.embed import Embedded, Embedder, index_text
from ragkit.errors import ProviderError, RagkitError
from ragkit.nouns import Chunk, Usage
from ragkit.store import Store

BATCH = 64
"""Chunks per call of the embedder."""
AT_ONCE = 4
"""Calls in flight; what they hold is all that a kill can make somebody pay for twice."""


class Embedding:
    """A run of the embedder over a store: `usage` is what was billed so far, `error` what ended it early.

    Chunks of the documents `but` wait: their vectors would be made anew soon.
    """

    def __init__(self, store: Store, tenant: str, embedder: Embedder, but: Collection[str] = ()) -> None:
        self.usage = Usage()
        self.done = 0
        self.error: RagkitError | None = None
        self._store = store
        self._tenant = tenant
        self._embedder = embedder
        self._but = but

    async def run(self, report: Callable[[int], None]) -> None:
        """Embed every visible chunk without a vector, also those that an earlier run left."""
        while self.error is None:
            waiting = await self._store.pending_dense(self._tenant, BATCH * AT_ONCE, self._but)
            before = self.done
            batches = [waiting[start : start + BATCH] for start in range(0, len(waiting), BATCH)]
            await asyncio.gather(*(self._embed(batch, report) for batch in batches))
            if self.done == before:
                return  # none left, or none that is still wanted

    async def _embed(self, chunks: Sequence[Chunk], report: Callable[[int], None]) -> None:
        texts = [index_text(chunk.title, chunk.section, chunk.text, chunk.context) for chunk in chunks]
        try:
            embedded = await self._embedder.embed_documents(texts)
        except RagkitError as error:
            # Raised on, it would leave the other calls in flight alone.
            self.error = error
            self.usage += (isinstance(error, ProviderError) and error.usage) or Usage()
            return
        await self._keep(chunks, embedded)
        report(self.done)

    async def _keep(self, chunks: Sequence[Chunk], embedded: Embedded) -> None:
        self.usage += embedded.usage
        self.done += await self._store.set_dense(self._tenant, list(zip(chunks, embedded.vectors, strict=True)))
