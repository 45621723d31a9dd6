"""Gemini's errors, in Google's shape."""

from __future__ import annotations

from typing import Any

from ragkit_eval.twin.exchange import Protocol, Rejection

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    """A wrong key is a 400 here, and how long to wait stands in the body too."""
    details: list[dict[str, Any]] = []
    if rejection.status == 401:
        rejection.status = 400
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"})
    if delay := rejection.headers.get("retry-after"):
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"})
    if rejection.code:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": rejection.code})
    status = STATUSES.get(rejection.status, "UNKNOWN")
    return {"error": {"code": rejection.status, "message": rejection.message, "status": status, "details": details}}


PROTOCOL = Protocol("gemini", error_body)
