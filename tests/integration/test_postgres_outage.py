"""What is particular to a ledger in PostgreSQL: the server goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from postgres import UNSET, Schema, new_schema

psycopg = pytest.importorskip("psycopg", reason="needs the extra 'postgres'")

from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: E402

from ragkit.errors import LedgerError  # noqa: E402
from ragkit.ledger import Purchase  # noqa: E402
from ragkit.ledgers.postgres import open_postgres  # noqa: E402
from ragkit.nouns import Account  # noqa: E402

DSN = os.environ.get("RAGKIT_TEST_POSTGRES", "")
PURCHASE = Purchase(Account(), 10, "small")

pytestmark = pytest.mark.skipif(not DSN, reason=UNSET)


@pytest.fixture
def schema() -> Iterator[Schema]:
    with new_schema() as schema:
        yield schema


@pytest.fixture
async def port() -> AsyncIterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    yield port


async def forward(port: int) -> asyncio.Server:
    """A way to the server that can be cut."""
    target = conninfo_to_dict(DSN)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(str(target["host"]), int(str(target["port"])))
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    return await asyncio.start_server(handle, "127.0.0.1", port)


async def test_an_unreachable_server_fails_fast_hides_the_password_and_is_found_again(
    schema: Schema, port: int
) -> None:
    dsn = make_conninfo(schema.dsn, host="127.0.0.1", port=port, password="hunter2")
    ledger = open_postgres(dsn)
    began = time.monotonic()
    with pytest.raises(LedgerError, match="no connection") as down:
        await ledger.hold(PURCHASE)
    assert time.monotonic() - began < 3
    assert "hunter2" not in f"{down.value!r} {down.value.__cause__!r}"
    server = await forward(port)
    await ledger.hold(PURCHASE)
    assert (await ledger.audit()).open_holds == 1
    await ledger.aclose()
    server.close()


async def test_connections_that_the_server_cuts_are_made_anew(schema: Schema) -> None:
    ledger = open_postgres(make_conninfo(schema.dsn, application_name=schema.name))
    await ledger.hold(PURCHASE)
    with psycopg.connect(DSN, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s", (schema.name,)
        ).fetchone()
    assert cut is not None
    assert cut[0] >= 1
    await asyncio.gather(*(ledger.hold(PURCHASE) for _ in range(5)))
    assert (await ledger.audit()).open_holds == 6
    await ledger.aclose()


async def test_the_journals_refuse_changes(schema: Schema) -> None:
    ledger = open_postgres(schema.dsn)
    await ledger.hold(PURCHASE)
    with psycopg.connect(DSN, autocommit=True) as connection:
        for change in ("UPDATE {}.hold SET amount = 1", "DELETE FROM {}.event", "TRUNCATE {}.saving"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(change.format(schema.name))
    await ledger.aclose()
