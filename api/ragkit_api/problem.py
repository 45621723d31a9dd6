"""Errors as replies: a status, a stable code and one sentence, and what a caller can act on."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from ragkit.errors import HTTP_STATUS, BudgetExceeded, LedgerError, NoIndex, RagkitError, StoreError, code_of
from ragkit.money import format_usd
from ragkit.receipt import receipt_to_json

STATUS: Mapping[type[RagkitError], int] = HTTP_STATUS | {NoIndex: 409}
HIDDEN: Mapping[type[RagkitError], str] = {
    NoIndex: "there are no documents yet: upload some first",
    StoreError: "the documents cannot be read at the moment: try again, and look at the log of the service",
    LedgerError: "the ledger cannot be reached at the moment, so nothing that costs money is done: try again",
}
"""What is said in place of messages that name files and servers."""
CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}


LOG = logging.getLogger("ragkit.api")


class Problem(Exception):
    """An error of the service itself. `code` never changes its meaning; `retry_after` is in seconds.

    `bill` is the receipt of what it cost, as JSON.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.bill: dict[str, Any] | None = None

    @property
    def headers(self) -> dict[str, str]:
        found = {} if self.retry_after is None else {"retry-after": str(max(1, round(self.retry_after)))}
        return found | ({"www-authenticate": "Bearer"} if self.status == 401 else {})


def not_found(what: str) -> Problem:
    """The same for what does not exist and for what belongs to somebody else."""
    return Problem(404, "not_found", f"there is no such {what}")


def forbidden(message: str) -> Problem:
    return Problem(403, "forbidden", message)


def code(error: Exception) -> str:
    """`BudgetExceeded` is `budget_exceeded`."""
    if isinstance(error, Problem):
        return error.code
    if isinstance(error, RagkitError):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    return "internal_error"


def status(error: Exception) -> int:
    if isinstance(error, Problem):
        return error.status
    return code_of(error, dict(STATUS)) if isinstance(error, RagkitError) else 500


def body(error: Exception) -> dict[str, Any]:
    """The body of the reply; with the bill, where the failed request cost something."""
    found: dict[str, Any] = {"code": code(error), "message": _message(error), "type": _type(status(error))}
    if isinstance(error, BudgetExceeded):
        found["budget"] = {
            "scope": error.scope,
            "window": error.window,
            "left_usd": format_usd(error.left_pico),
            "resets": error.resets.isoformat() if error.resets else None,
        }
    if isinstance(error, RagkitError) and error.receipt is not None:
        found["receipt"] = receipt_to_json(error.receipt)
    if isinstance(error, Problem) and error.bill is not None:
        found["receipt"] = error.bill
    return {"error": found}


def reply(error: Exception) -> JSONResponse:
    return JSONResponse(body(error), status(error), headers(error))


def headers(error: Exception) -> dict[str, str]:
    if isinstance(error, Problem):
        return error.headers
    wait = getattr(error, "retry_after", None)
    if wait is None:
        return {"retry-after": "2"} if isinstance(error, StoreError | LedgerError) and status(error) == 503 else {}
    return {"retry-after": str(max(1, round(wait)))}


def _message(error: Exception) -> str:
    if isinstance(error, RagkitError):
        hidden = next((HIDDEN[kind] for kind in type(error).__mro__ if kind in HIDDEN), None)
        return hidden or str(error)
    return str(error) if isinstance(error, Problem) else "something went wrong in the service: its log says what"


def _type(status: int) -> str:
    """The coarse classes that clients of OpenAI know."""
    return "invalid_request_error" if status < 500 else "api_error"


def log_unexpected(error: Exception) -> None:
    """What nobody foresaw goes into the log with its traceback, and nowhere else."""
    if status(error) >= 500 and not isinstance(error, Problem):
        LOG.error("%s", type(error).__name__, exc_info=error)
