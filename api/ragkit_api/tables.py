"""The tables of the service, beside those of the ledger and in the same database."""

from __future__ import annotations

from ragkit.errors import ConfigError
from ragkit.ledgers import FILE_NAME
from ragkit.ledgers.worker import Session
from ragkit.settings import Settings

TABLES = (
    """CREATE TABLE IF NOT EXISTS api_key (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL, digest TEXT NOT NULL,
        created {int} NOT NULL, expires {int}, revoked {int}, rate {int})""",
    """CREATE TABLE IF NOT EXISTS audit (
        at {int} NOT NULL, actor TEXT NOT NULL, tenant TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
        detail TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS audit_tenant ON audit (tenant, at)",
    """CREATE TABLE IF NOT EXISTS feedback (
        at {int} NOT NULL, tenant TEXT NOT NULL, access_key TEXT, receipt TEXT NOT NULL, rating {int} NOT NULL,
        comment TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS feedback_tenant ON feedback (tenant, at)",
)


def connect(settings: Settings) -> Session:
    """A session on the ledger's database in which these tables exist."""
    if settings.ledger.kind == "postgres":
        if settings.ledger.dsn is None:
            raise ConfigError("[ledger] kind is postgres: set its dsn, best as RAGKIT_LEDGER_DSN")
        from ragkit.ledgers.postgres import PostgresSession

        return _prepared(PostgresSession(settings.ledger.dsn.get_secret_value(), writes=True), "BIGINT")
    from ragkit.ledgers.sqlite import SqliteSession

    return _prepared(SqliteSession(settings.store.path / FILE_NAME, writes=True), "INTEGER")


def _prepared(session: Session, integer: str) -> Session:
    session.begin()
    for statement in TABLES:
        session.execute(statement.format(int=integer))
    session.commit()
    return session
