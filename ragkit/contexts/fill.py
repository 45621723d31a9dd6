"""From contexts that are known to the chunks that want them: what an index gets, and what it still lacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace

from ragkit.batches.beside import JournalThread
from ragkit.contexts.wish import Maker, Wish, wishes
from ragkit.nouns import Chunk, DocumentRecord, Sparse
from ragkit.store import Store
from ragkit.words.bm25 import encode_chunk


@dataclass(frozen=True, slots=True)
class Filled:
    """A document: `given` counts its chunks that got a context, `seen` names what they want, or have."""

    given: int
    seen: frozenset[str]


async def fill(
    store: Store, journal: JournalThread, maker: Maker, sources: Collection[str] | None = None
) -> AsyncIterator[Filled]:
    """Give chunks the contexts that are known, document by document; one that has all of its contexts is marked.

    Those of these `sources`, also where they are marked already, else those that want some.
    """
    for record in await store.records(maker.tenant):
        if not (_wants(record, maker) if sources is None else record.source in sources):
            continue
        wanted = await asyncio.to_thread(wishes, await store.chunks(maker.tenant, record.id), maker)
        known = await _known(journal, maker, wanted)
        placed = [_placed(wish.chunk, text) for wish in wanted if (text := known.get(wish.name))]
        given = await store.set_contexts(maker.tenant, placed)
        if wanted and record.context != maker.name and all(wish.name in known for wish in wanted):
            await store.mark_contexts(maker.tenant, [replace(record, context=maker.name)])
        yield Filled(given, frozenset(wish.name for wish in wanted))


async def lacking(
    store: Store, journal: JournalThread | None, maker: Maker, but: Collection[str] = ()
) -> AsyncIterator[tuple[Wish, ...]]:
    """By document, what is to be bought for it; nothing for the sources `but`."""
    for record in await store.records(maker.tenant):
        if _wants(record, maker) and record.source not in but:
            yield await unknown(journal, maker, await store.chunks(maker.tenant, record.id))


async def unknown(journal: JournalThread | None, maker: Maker, chunks: Sequence[Chunk]) -> tuple[Wish, ...]:
    """What is to be bought for the chunks of a document; without a journal nothing was bought before."""
    wanted = await asyncio.to_thread(wishes, chunks, maker)
    known = await _known(journal, maker, wanted)
    return tuple(wish for wish in wanted if wish.name not in known)


async def _known(journal: JournalThread | None, maker: Maker, wanted: Sequence[Wish]) -> dict[str, str]:
    if journal is None:
        return {}
    return await journal.run(lambda it: it.contexts(maker.tenant, [wish.name for wish in wanted]))


def _wants(record: DocumentRecord, maker: Maker) -> bool:
    return record.chunks > 1 and record.context != maker.name


def _placed(chunk: Chunk, context: str) -> tuple[Chunk, Sparse]:
    return replace(chunk, context=context), encode_chunk(chunk.title, chunk.section, chunk.text, context)
