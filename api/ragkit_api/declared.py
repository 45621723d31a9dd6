"""What routes declare in OpenAPI beside their own replies: errors by status, and streams of events."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    code: str = Field(examples=["budget_exceeded"], description="Stable; never changes its meaning.")
    message: str = Field(description="One sentence that says what to change.")
    type: str
    budget: dict[str, Any] | None = None
    receipt: dict[str, Any] | None = None


class ErrorBody(BaseModel):
    error: ErrorDetail


Responses = dict[int | str, dict[str, Any]]
EVENT_STREAM = {
    "text/event-stream": {
        "schema": {
            "title": "Event",
            "type": "object",
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
            "required": ["data"],
        }
    }
}
SENTENCES = {
    400: "The request asks for something that cannot be done.",
    401: "No valid key was sent.",
    402: "A budget does not hold what this may cost.",
    403: "The key may not do this.",
    404: "There is no such thing, or it belongs to somebody else.",
    408: "The body did not arrive in time.",
    409: "This cannot be done now.",
    413: "The body is too large.",
    415: "The body is of the wrong type.",
    421: "Without keys, the service answers only to this machine's own names.",
    422: "The request breaks its schema.",
    429: "The key asks too often.",
    499: "The client left.",
    500: "Something unforeseen.",
    501: "An optional package is not installed.",
    502: "A provider failed.",
    503: "Overloaded, being stopped, or without its store, its ledger or its provider.",
    504: "Out of time.",
}
COMMON = (400, 401, 403, 421, 422, 429, 500, 503)
BODY = (408, 413, 415)
ASK = (402, 409, 499, 501, 502, 504)


def problems(*statuses: int) -> Responses:
    """The errors of a route for its OpenAPI entry."""
    found = sorted({*COMMON, *statuses})
    return {status: {"model": ErrorBody, "description": SENTENCES[status]} for status in found}
