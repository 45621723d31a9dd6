"""Events for an invoice that is compared with them, and for tokenizers that are learnt from them."""

from __future__ import annotations

from ragkit.budget import model_names
from ragkit.ledger import Counted, Posting
from ragkit.ledgers.worker import Session
from ragkit.window import from_micros

PROMPT = "(input + cache_read + cache_write_5m + cache_write_30m + cache_write_1h + cache_write_12h)"
POSTINGS = """SELECT booked, receipt, hold, model, price_row, posted, cost, estimated, request_id FROM event
    WHERE booked >= ? AND booked < ? ORDER BY booked, receipt, hold, ordinal"""
COUNTED = f"""SELECT model, price_row, estimate, bound, prompt FROM (
        SELECT model, price_row, estimate, bound, {PROMPT} AS prompt,
            ROW_NUMBER() OVER (PARTITION BY model ORDER BY booked DESC) AS place
        FROM event
        WHERE estimate > 0 AND estimated = 0 AND cost IS NOT NULL AND {PROMPT} > 0 AND kind IN ('generate', 'repair')
    ) AS latest WHERE place <= ?"""  # noqa: S608


def read_counted(session: Session, most: int) -> tuple[Counted, ...]:
    """By the name of each model's price."""
    return tuple(
        Counted(model_names(model, price_row)[-1], estimate, bound, tokens)
        for model, price_row, estimate, bound, tokens in session.execute(COUNTED, (most,))
    )


def read_postings(session: Session, since: int, until: int) -> tuple[Posting, ...]:
    return tuple(
        Posting(
            from_micros(booked),
            receipt or "",
            hold or "",
            model_names(model, price_row)[-1],
            posted,
            cost,
            bool(estimated),
            request_id,
        )
        for booked, receipt, hold, model, price_row, posted, cost, estimated, request_id in session.execute(
            POSTINGS, (since, until)
        )
    )
