"""Adapters of the ledger, one file per system; imported on use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ragkit.errors import ConfigError
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.settings import Settings

FILE_NAME = "ledger.db"


@asynccontextmanager
async def opened(settings: Settings, *, create: bool = False) -> AsyncIterator[SqlLedger]:
    """The ledger that the settings name, for one piece of work; unless it may be made, it has to be there."""
    file = settings.store.path / FILE_NAME
    if settings.ledger.kind == "sqlite" and not create and not file.exists():
        raise ConfigError(f"there is no ledger {file}: ask a question first, or name another folder with --store")
    ledger = open_ledger(settings)
    try:
        yield ledger
    finally:
        await ledger.aclose()


def open_ledger(settings: Settings) -> SqlLedger:
    """The ledger that the settings name; nothing is read or created before its first use."""
    options = Options(lease=settings.ledger.lease)
    if settings.ledger.kind == "postgres":
        if settings.ledger.dsn is None:
            raise ConfigError("[ledger] kind is postgres: set its dsn, best as RAGKIT_LEDGER_DSN")
        from ragkit.ledgers.postgres import open_postgres

        return open_postgres(settings.ledger.dsn.get_secret_value(), options)
    from ragkit.ledgers.sqlite import open_sqlite

    return open_sqlite(settings.store.path / FILE_NAME, options)
