"""The index behind a `Ragkit`: opened for questions, created and rebuilt by an ingest, looked after in between."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragkit.checkout import Order
from ragkit.errors import ConfigError, NoIndex, RagkitError, StoreError, StoreMismatch
from ragkit.metered import MeteredEmbedder
from ragkit.nouns import Account, DocumentRecord
from ragkit.parts import Parts
from ragkit.settings import Settings, StoreSettings
from ragkit.store import IndexSchema, Reconciliation, Store
from ragkit.stores import open_store
from ragkit.stores.schema import check_schema

Records = Sequence[DocumentRecord]

if TYPE_CHECKING:
    from ragkit.contexts.service import ContextRun
    from ragkit.vectors.service import VectorRun
    from ragkit_ingest.load import Root
    from ragkit_ingest.pipeline import IngestOptions
    from ragkit_ingest.report import IngestReport, Progress


class Index:
    """Opens its store on first use; only an ingest may create one."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store: Store | None = None
        self._opening = asyncio.Lock()

    async def store(self) -> Store:
        """The store for questions; an index that another embedder made is `StoreMismatch`."""
        async with self._opening:
            if self._store is None:
                store = await open_store(self._parts.settings)
                await _check_embedder(store, self._embedded())
                self._store = store
            return self._store

    async def ingest(
        self,
        paths: Sequence[str | Path],
        account: Account,
        options: IngestOptions,
        progress: Callable[[Progress], None],
    ) -> IngestReport:
        """Bring the index up to date with files and folders; the store builds its search graph afterwards."""
        from ragkit_ingest.load import check_paths
        from ragkit_ingest.pipeline import Destination, ingest

        if options.collect:
            return await self._collect(account, progress)
        roots = check_paths(paths)
        embedder, metered = self._parts.embedder, self._metered(account)
        contexts, vectors = self._contexts(account), self._vectors(account)
        async with self._writable(options, account.tenant, roots) as (store, replaced):
            price = None if metered is None else metered.price
            if vectors is not None and vectors.asks:
                price = vectors.price
            destination = Destination(store, account.tenant, metered or embedder, price, replaced, contexts, vectors)
            settings = self._parts.settings.ingest
            report = await ingest(paths, destination, settings=settings, options=options, progress=progress)
            if not options.dry_run:
                await _check_whole(store, account.tenant, replaced or (), report, kept=not options.delete_missing)
                await store.publish()
                await store.optimize()
        if contexts is not None:
            report = replace(report, context=contexts.foreseen if options.dry_run else contexts.placed)
        if options.dry_run:
            return report
        return _billed(replace(report, vectors=None if vectors is None else vectors.followed), metered)

    async def _collect(self, account: Account, progress: Callable[[Progress], None]) -> IngestReport:
        """Take what batches have brought, and make the vectors that waited for it."""
        from ragkit.contexts.service import ContextRun
        from ragkit_ingest.pipeline import Destination, embed
        from ragkit_ingest.report import IngestReport

        run, metered, store = ContextRun(self._parts, account), self._metered(account), await self.store()
        waiting = await run.collect(store)
        report, vectors = IngestReport(context=run.placed), self._vectors(account)
        if vectors is not None and vectors.asks:
            await vectors.collect(store, waiting)
        else:
            destination = Destination(store, account.tenant, metered or self._parts.embedder, vectors=vectors)
            report = await embed(destination, report, progress, but=waiting)
        await store.optimize()
        return _billed(replace(report, vectors=None if vectors is None else vectors.followed), metered)

    async def verify(self, *, repair: bool) -> Reconciliation:
        store = await self.store()
        if repair:
            await store.sweep()
        return await store.verify()

    async def aclose(self) -> None:
        if self._store is not None:
            await self._store.aclose()
            self._store = None

    @asynccontextmanager
    async def _writable(
        self, options: IngestOptions, tenant: str, roots: Sequence[Root]
    ) -> AsyncIterator[tuple[Store, Records | None]]:
        """The store for an ingest, and what the one held that it replaces, if it replaces one.

        A dry run that has none to compare with looks at an empty one. What was begun anew and breaks off is left, so
        that the next question, or the next ingest, meets the old index.
        """
        async with self._opening:
            store, replaced = await self._fitting(options, tenant, roots)
        if store is None:
            with tempfile.TemporaryDirectory() as folder:
                store = await open_store(_edge_in(self._parts.settings, folder), self._schema(), create=True)
                try:
                    yield store, replaced
                finally:
                    await store.aclose()
            return
        try:
            yield store, replaced
        except BaseException:
            if replaced is not None:
                async with self._opening:
                    await self.aclose()
            raise

    async def _fitting(
        self, options: IngestOptions, tenant: str, roots: Sequence[Root]
    ) -> tuple[Store | None, Records | None]:
        """A store that was built as the settings say; a rebuild fills one beside the other, until it is published.

        A refusal, and a dry run, leave the store that answers questions open.
        """
        settings, schema = self._parts.settings, self._schema()
        try:
            store = self._store or await open_store(settings)
        except NoIndex:
            self._store = None if options.dry_run else await open_store(settings, schema, create=True)
            return self._store, None
        info = await store.info()
        try:
            check_schema(info.schema, schema, info.location)
            self._store = store
            return store, None
        except StoreMismatch:
            try:
                if not options.rebuild:
                    raise
                replaced = await _check_covered(store, tenant, roots)
            except RagkitError:
                if store is not self._store:
                    await store.aclose()
                raise
        if options.dry_run:
            if store is not self._store:
                await store.aclose()
            return None, replaced
        await store.aclose()
        self._store = None
        self._store = await open_store(settings, schema, create=True, anew=True)
        return self._store, replaced

    def _schema(self) -> IndexSchema:
        from ragkit_ingest.pipeline import chunking_name

        embedder = self._parts.embedder
        return IndexSchema(
            chunking_name(self._parts.settings.ingest),
            None if embedder is None else embedder.name,
            None if embedder is None else embedder.dimensions,
        )

    def _embedded(self) -> tuple[str, int] | None:
        embedder = self._parts.embedder
        return None if embedder is None else (embedder.name, embedder.dimensions)

    def _contexts(self, account: Account) -> ContextRun | None:
        """Who asks for contexts of chunks, if the settings want some."""
        if self._parts.settings.ingest.context == "off":
            return None
        from ragkit.contexts.service import ContextRun

        run = ContextRun(self._parts, account)
        run.check()
        return run

    def _vectors(self, account: Account) -> VectorRun | None:
        """Who asks for vectors by batch where the settings want that, and takes them where they once did."""
        settings, embedder = self._parts.settings, self._parts.embedder
        wants = settings.embedder.lane == "batch"
        if not wants and (embedder is None or embedder.price_id is None):
            return None
        from ragkit.batches.journal import FILE_NAME
        from ragkit.vectors.service import VectorRun

        return VectorRun(self._parts, account) if wants or (settings.store.path / FILE_NAME).exists() else None

    def _metered(self, account: Account) -> MeteredEmbedder | None:
        """Who buys vectors of documents; those of an embedder on this machine are not bought."""
        parts = self._parts
        if parts.embedder is None or parts.embedder.price_id is None:
            return None

        def new_order() -> Order:
            return Order(parts.payer(account, parts.clock()), uuid.uuid4().hex, None)

        return MeteredEmbedder(parts.embedder, parts.retrying, new_order)


def _billed(report: IngestReport, metered: MeteredEmbedder | None) -> IngestReport:
    if metered is None:
        return report
    simulated = metered.simulated_pico
    return replace(report, usage=metered.usage, cost_pico=metered.cost_pico, simulated_pico=simulated)


async def _check_embedder(store: Store, wanted: tuple[str, int] | None) -> None:
    """Vectors of two embedders must not be compared; without an embedder the words are enough."""
    if wanted is None:
        return
    info = await store.info()
    try:
        check_schema(info.schema, replace(info.schema, embedder=wanted[0], dimensions=wanted[1]), info.location)
    except StoreError:
        await store.aclose()
        raise


async def _check_covered(store: Store, tenant: str, roots: Sequence[Root]) -> Records:
    """An index that is replaced as a whole must be ingested as a whole; what it held."""
    from ragkit_ingest.plan import is_covered

    info, records = await store.info(), await store.records(tenant)
    missing = [record.source for record in records if not is_covered(record, roots)]
    others = info.documents - len(records)
    if missing or others:
        what = f"'{missing[0]}'" if missing else f"{others} documents of other tenants"
        raise ConfigError(
            f"the whole index has to be rebuilt, and it also holds {what}: name all paths, or use another store, "
            "into which what was uploaded is uploaded again"
        )
    return records


async def _check_whole(store: Store, tenant: str, replaced: Records, report: IngestReport, *, kept: bool) -> None:
    """What the old index held has to be in the new one before it takes its place, but for what was deleted."""
    from ragkit_ingest.plan import has_file

    held = {record.source for record in await store.records(tenant)} if replaced else set()
    lost = [record.source for record in replaced if record.source not in held and (kept or has_file(record))]
    if lost:
        reasons = {failure.source: failure.reason for failure in report.failures}
        why = reasons.get(lost[0], "its file is gone")
        raise StoreError(
            f"the index was not rebuilt, and stays as it was: {len(lost)} of its documents cannot be read again, first"
            f" '{lost[0]}', which {why}. Mend or delete the files and run the command again"
        )


def _edge_in(settings: Settings, folder: str) -> Settings:
    return settings.model_copy(update={"store": StoreSettings(kind="edge", path=Path(folder))})
