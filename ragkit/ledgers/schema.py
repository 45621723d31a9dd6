"""Numbered migrations of the ledger's tables, for every system; `{int}` is its 64-bit integer."""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE hold (
            id TEXT PRIMARY KEY, at {int} NOT NULL, expires {int} NOT NULL, tenant TEXT NOT NULL, person TEXT,
            access_key TEXT, tags TEXT NOT NULL, model TEXT NOT NULL, fallbacks TEXT NOT NULL, lane TEXT NOT NULL,
            amount {int} NOT NULL CHECK (amount > 0))""",
        # Holds that nothing has resolved yet: the one table about money, with balance, that is not a journal.
        "CREATE TABLE open_hold (id TEXT PRIMARY KEY REFERENCES hold (id), expires {int} NOT NULL)",
        "CREATE INDEX open_hold_expires ON open_hold (expires)",
        """CREATE TABLE resolution (
            hold TEXT PRIMARY KEY REFERENCES hold (id), at {int} NOT NULL, receipt TEXT,
            outcome TEXT NOT NULL CHECK (outcome IN ('settled', 'released', 'unresolved')))""",
        """CREATE TABLE correction (
            hold TEXT PRIMARY KEY REFERENCES resolution (hold), at {int} NOT NULL, receipt TEXT,
            outcome TEXT NOT NULL CHECK (outcome IN ('settled', 'released')))""",
        """CREATE TABLE receipt (
            id TEXT PRIMARY KEY, at {int} NOT NULL, booked {int} NOT NULL, tenant TEXT NOT NULL, person TEXT,
            access_key TEXT, tags TEXT NOT NULL, baseline {int} NOT NULL, baseline_note TEXT NOT NULL,
            price_version TEXT NOT NULL, overrun {int} NOT NULL)""",
        "CREATE INDEX receipt_booked ON receipt (booked)",
        # `cost` is NULL where unknown; `posted` is what budgets and totals count.
        """CREATE TABLE event (
            receipt TEXT REFERENCES receipt (id), hold TEXT REFERENCES hold (id), ordinal {int} NOT NULL,
            booked {int} NOT NULL, tenant TEXT NOT NULL, person TEXT, access_key TEXT, tags TEXT NOT NULL,
            posted {int} NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL, cost {int}, seconds {float} NOT NULL,
            reason TEXT NOT NULL, attempt {int} NOT NULL, lane TEXT NOT NULL, price_row TEXT NOT NULL,
            estimated {int} NOT NULL, reported {int}, request_id TEXT, tier TEXT, prefix TEXT NOT NULL,
            chunks {int} NOT NULL, evidence {int} NOT NULL, input {int} NOT NULL, cache_read {int} NOT NULL,
            cache_write_5m {int} NOT NULL, cache_write_30m {int} NOT NULL, cache_write_1h {int} NOT NULL,
            cache_write_12h {int} NOT NULL,
            output {int} NOT NULL, reasoning {int} NOT NULL, searches {int} NOT NULL)""",
        "CREATE INDEX event_receipt ON event (receipt)",
        "CREATE INDEX event_booked ON event (booked)",
        """CREATE TABLE saving (
            receipt TEXT NOT NULL REFERENCES receipt (id), ordinal {int} NOT NULL, lever TEXT NOT NULL,
            pico {int} NOT NULL, PRIMARY KEY (receipt, ordinal))""",
        """CREATE TABLE budget (
            number {int} PRIMARY KEY, at {int} NOT NULL, scope TEXT NOT NULL, subject TEXT NOT NULL,
            period TEXT NOT NULL, seconds {int} NOT NULL, zone TEXT NOT NULL, max_pico {int},
            on_exceed TEXT NOT NULL, note TEXT NOT NULL)""",
        # Sums of the journals per budget and window, kept in the same transactions; an audit compares them.
        """CREATE TABLE balance (
            scope TEXT NOT NULL, subject TEXT NOT NULL, span TEXT NOT NULL, start {int} NOT NULL,
            held {int} NOT NULL, posted {int} NOT NULL, PRIMARY KEY (scope, subject, span, start))""",
        """CREATE TABLE idempotency (
            tenant TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL,
            at {int} NOT NULL, lapses {int} NOT NULL, answer TEXT, PRIMARY KEY (tenant, name))""",
        "CREATE INDEX idempotency_at ON idempotency (at)",
    ),
    (
        # Sizes of prompts before any model's factor, which the provider's count beside them calibrates.
        "ALTER TABLE event ADD COLUMN estimate {int} NOT NULL DEFAULT 0",
        "ALTER TABLE event ADD COLUMN bound {int} NOT NULL DEFAULT 0",
    ),
    (
        # A tenant's report reads its own rows only, however many others there are.
        "CREATE INDEX receipt_tenant_booked ON receipt (tenant, booked)",
        "CREATE INDEX event_tenant_booked ON event (tenant, booked)",
        # Empty where all money is real; where a budget stands is asked often.
        "CREATE INDEX event_simulated ON event (booked) WHERE substr(reason, 1, 11) = 'simulated: '",
    ),
)

APPEND_ONLY = ("hold", "resolution", "correction", "receipt", "event", "saving", "budget")
"""Tables whose rows the database itself refuses to change or delete."""
