"""Logs as lines of JSON. No secret, no question, no answer and no text of a document is ever in them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LOG = logging.getLogger("ragkit.api")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        line: dict[str, Any] = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[1] is not None:
            # The text of an exception may quote what a user wrote or a file holds; where it happened does not.
            line["where"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


def log_to_stderr(level: str = "INFO") -> None:
    """Send our lines and those of the server to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("ragkit", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log_request(request_id: str, what: str, status: int, seconds: float, facts: Mapping[str, Any]) -> None:
    """One line per request."""
    known = {"request": request_id, "status": status, "seconds": round(seconds, 6), **facts}
    LOG.info("%s", what, extra={"facts": {name: value for name, value in known.items() if value is not None}})


def _places(error: BaseException) -> list[str]:
    places, at = [], error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 2)[-1]}:{at.tb_lineno} {code.co_name}")
        at = at.tb_next
    return [f"{type(error).__name__}", *places[-12:]]
