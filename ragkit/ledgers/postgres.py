"""The ledger in PostgreSQL, for processes on several machines. Writers take turns by one lock per ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragkit.errors import LedgerError, MissingExtra
from ragkit.ledgers.schema import APPEND_ONLY, MIGRATIONS
from ragkit.ledgers.sql import Options, SqlLedger
from ragkit.ledgers.worker import Row

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise MissingExtra("postgres", "a ledger in PostgreSQL") from error

LOCK = 0x7261676B6974
"""The advisory lock that serialises writers: `ragkit` in letters."""
LIMITS = (
    # A writer that hangs inside its transaction, or its machine, must not stop the others for ever.
    "SET lock_timeout = '5s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '10s';"
    " SET synchronous_commit = on; SET TIME ZONE 'UTC'"
)
DEFAULTS = {"connect_timeout": "5", "application_name": "ragkit", "tcp_user_timeout": "10000", "keepalives_idle": "10"}


def open_postgres(dsn: str, options: Options | None = None) -> SqlLedger:
    """A ledger in this database, whose tables are created on first use; nothing is sent before that."""
    return SqlLedger(lambda writes: PostgresSession(dsn, writes=writes), options or Options())


class PostgresSession:
    """One connection; statements without results are sent in a pipeline."""

    def __init__(self, dsn: str, *, writes: bool) -> None:
        self._writes = writes
        self._dsn = dsn
        self._connect()

    def begin(self) -> None:
        """psycopg begins by itself; a writer waits here for its turn. A connection that was cut is made anew."""
        turn = f"SELECT pg_advisory_xact_lock({LOCK})"
        begin = turn if self._writes else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        try:
            self.execute(begin)
        except LedgerError:
            if not self._connection.closed:
                raise
            self._connect()
            self.execute(begin)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        try:
            cursor = self._connection.execute(_placeholders(sql), tuple(values) or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _translated(error) from error

    def insert(self, sql: str, rows: Sequence[Row]) -> None:
        try:
            self._connection.cursor().executemany(_placeholders(sql), rows)
        except psycopg.Error as error:
            raise _translated(error) from error

    def commit(self) -> None:
        try:
            self._connection.commit()
        except psycopg.Error as error:
            raise _translated(error) from error

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> None:
        try:
            given = conninfo_to_dict(self._dsn)
            missing = {key: value for key, value in DEFAULTS.items() if key not in given}
            self._connection = psycopg.connect(make_conninfo(self._dsn, **missing))
            self._connection.execute(LIMITS)
            self._connection.commit()
        except psycopg.Error as error:
            raise _translated(error) from error
        self._migrate()

    def _migrate(self) -> None:
        self.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        self.execute("CREATE TABLE IF NOT EXISTS ragkit_migration (number BIGINT PRIMARY KEY)")
        done = self.execute("SELECT coalesce(max(number), 0) FROM ragkit_migration")[0][0]
        if done > len(MIGRATIONS):
            raise LedgerError("the ledger in PostgreSQL was written by a newer ragkit: upgrade ragkit")
        for number, migration in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in migration:
                self.execute(statement.format(int="BIGINT", float="DOUBLE PRECISION"))
            if number == 1:
                self._forbid_changes()
            self.execute("INSERT INTO ragkit_migration (number) VALUES (?)", (number,))
        self.commit()

    def _forbid_changes(self) -> None:
        self.execute(
            "CREATE OR REPLACE FUNCTION ragkit_append_only() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'the journals are append-only'; END $$"
        )
        for table in APPEND_ONLY:
            self.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION ragkit_append_only()"
            )


def _placeholders(sql: str) -> str:
    """Our statements hold no question mark or percent sign but placeholders."""
    return sql.replace("?", "%s")


def _translated(error: psycopg.Error) -> LedgerError:
    """The server's own words without the connection string, which may hold a password."""
    reason = error.diag.message_primary or type(error).__name__
    if isinstance(error, psycopg.OperationalError) and not error.diag.message_primary:
        reason = "no connection to the server"
    return LedgerError(f"the ledger in PostgreSQL cannot be read or written: {reason}")
