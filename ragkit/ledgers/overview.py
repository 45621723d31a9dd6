"""Who answered and what caches did, added up by the database: however many receipts there are, few rows come back."""

from __future__ import annotations

from dataclasses import dataclass

from ragkit.ledgers.rows import IS_CALL, IS_OTHER, IS_SIMULATED, Range, read_chosen, within
from ragkit.ledgers.worker import Row, Session
from ragkit.nouns import Receipt
from ragkit.savings import ABSTAINED, UNASKED

MOST_GROUPS = 100
WRITTEN = "cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h"
TIER_OF_LEVER = " ".join(f"WHEN '{lever}' THEN '{tier}'" for lever, tier in UNASKED.items())
LEVERS = ", ".join(f"'{lever}'" for lever in UNASKED)


@dataclass(frozen=True, slots=True)
class Served:
    """Answers of one tier and model. `unknown` of them have no known cost, `simulated` a simulation has given."""

    tier: str
    model: str
    questions: int
    cost_pico: int
    unknown: int
    baseline_pico: int
    more_than_one_call: int
    seconds: float
    simulated: int


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of `calls` for one prefix, or of all of them where `prefix` is empty."""

    prefix: str
    calls: int
    input: int
    read: int
    written: int


def decided(where: str) -> str:
    """Receipts of answers: the last generation made it, else the first lever that replaced one, else it is none.

    What was declined for nothing is no answer of anybody's, whoever was asked: its tier says so.

    Events and savings are found by the same stretch of time and tenant, which are those of their receipt.
    """
    return f"""WITH asked AS (SELECT id, booked, baseline FROM receipt WHERE {where}),
        spent AS (SELECT receipt, sum(cost) AS cost, count(*) - count(cost) AS unknown, sum(seconds) AS seconds,
            sum(CASE WHEN {IS_CALL} THEN 1 ELSE 0 END) AS calls, max(CASE WHEN {IS_CALL} THEN ordinal END) AS last,
            max(CASE WHEN {IS_CALL} AND {IS_SIMULATED} THEN 1 ELSE 0 END)
                AS simulated
            FROM event WHERE {where} AND receipt IS NOT NULL GROUP BY receipt),
        freed AS (SELECT saving.receipt, min(saving.ordinal) AS first,
            max(CASE WHEN lever = '{ABSTAINED}' THEN 1 ELSE 0 END) AS declined FROM saving
            JOIN asked ON asked.id = saving.receipt WHERE lever IN ({LEVERS}) GROUP BY saving.receipt),
        decision AS (SELECT asked.id, asked.booked, asked.baseline, coalesce(spent.cost, 0) AS cost,
            coalesce(spent.unknown, 0) AS unknown, coalesce(spent.seconds, 0) AS seconds,
            coalesce(spent.calls, 0) AS calls, coalesce(spent.simulated, 0) AS simulated,
            CASE WHEN freed.declined = 1 THEN '{ABSTAINED}'
                ELSE coalesce(nullif(event.tier, ''), CASE saving.lever {TIER_OF_LEVER} END, 'none') END AS tier,
            coalesce(event.model, CASE saving.lever {TIER_OF_LEVER} END) AS model
            FROM asked LEFT JOIN spent ON spent.receipt = asked.id
            LEFT JOIN event ON event.receipt = asked.id AND event.ordinal = spent.last
            LEFT JOIN freed ON freed.receipt = asked.id
            LEFT JOIN saving ON saving.receipt = asked.id AND saving.ordinal = freed.first
            WHERE spent.calls > 0 OR freed.first IS NOT NULL)"""  # noqa: S608


def read_served(session: Session, when: Range) -> tuple[Served, ...]:
    """By tier and model, those with most answers first; a cost that nobody knows is counted, never added."""
    where, values = within(when)
    rows = session.execute(
        f"""{decided(where)} SELECT tier, model, count(*), sum(CASE WHEN unknown = 0 THEN cost ELSE 0 END),
            sum(CASE WHEN unknown > 0 THEN 1 ELSE 0 END), sum(baseline), sum(CASE WHEN calls > 1 THEN 1 ELSE 0 END),
            sum(seconds), sum(simulated) FROM decision GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {MOST_GROUPS}""",  # noqa: S608
        (*values, *values),
    )
    return tuple(
        Served(
            tier, model, int(count), int(cost), int(unknown), int(baseline), int(more), float(seconds), int(simulated)
        )
        for tier, model, count, cost, unknown, baseline, more, seconds, simulated in rows
    )


def read_latest(session: Session, when: Range, most: int) -> list[Receipt]:
    """The receipts of the latest answers, newest first."""
    where, values = within(when)
    sql = f"{decided(where)} SELECT id FROM decision ORDER BY booked DESC, id DESC LIMIT ?"  # noqa: S608
    found = [row[0] for row in session.execute(sql, (*values, *values, most))]
    by_id = {receipt.id: receipt for receipt in read_chosen(session, found)}
    return [by_id[id_] for id_ in found]


def read_cache_use(session: Session, when: Range) -> tuple[int, tuple[CacheUse, ...]]:
    """How many questions there were, and tokens: all of them first, then the prefixes with most calls."""
    where, values = within(when)
    sums = f"coalesce(sum(input), 0), coalesce(sum(cache_read), 0), coalesce(sum({WRITTEN}), 0)"
    asked = session.execute(f"SELECT count(*) FROM receipt WHERE {where} AND NOT ({IS_OTHER})", values)[0][0]  # noqa: S608
    inside = f"FROM event WHERE {where} AND receipt IS NOT NULL"
    whole = session.execute(f"SELECT '', count(*), {sums} {inside}", values)
    prefixes = session.execute(
        f"SELECT prefix, count(*), {sums} {inside} AND prefix <> '' GROUP BY prefix ORDER BY 2 DESC, 1"
        f" LIMIT {MOST_GROUPS}",
        values,
    )
    return int(asked), tuple(map(_use, (*whole, *prefixes)))


def _use(row: Row) -> CacheUse:
    prefix, *counts = row
    return CacheUse(prefix, *map(int, counts))
