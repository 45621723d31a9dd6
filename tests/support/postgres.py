"""A PostgreSQL server for tests, where RAGKIT_TEST_POSTGRES names one: each test has a schema of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

UNSET = "set RAGKIT_TEST_POSTGRES to the DSN of a PostgreSQL server"


@dataclass(frozen=True, slots=True)
class Schema:
    """`dsn` leads into it, `server` past it."""

    name: str
    dsn: str
    server: str


@contextmanager
def new_schema() -> Iterator[Schema]:
    """An empty schema, dropped at the end; skips the test where there is no server or no driver."""
    server = os.environ.get("RAGKIT_TEST_POSTGRES")
    if not server:
        pytest.skip(UNSET)
    psycopg = pytest.importorskip("psycopg", reason="needs the extra 'postgres'")
    name = f"ragkit_{uuid.uuid4().hex}"
    dsn: str = psycopg.conninfo.make_conninfo(server, options=f"-csearch_path={name}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield Schema(name, dsn, server)
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
