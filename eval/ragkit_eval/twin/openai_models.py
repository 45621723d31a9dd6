"""What the GPT models accept, as far as it changes a bill or breaks a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ragkit_eval.twin.faults import REJECTIONS
from ragkit_eval.twin.prices import ROWS

MINIMUM = 1024
STEP = 128
LONG = {"gpt-5.5": 1_050_000, "gpt-5.4": 1_050_000}
SHORT = 272_000
"""Context of GPT-5, GPT-5.4 mini and nano."""
BREAKPOINT_CONTEXT = 922_000
MAX_OUTPUT = 128_000
OLD = ("gpt-5", "gpt-5-mini", "gpt-5-nano", "o3")
RETIRES = dict.fromkeys(OLD, datetime(2026, 12, 11, tzinfo=UTC)) | dict.fromkeys(
    ("gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini"), datetime(2027, 1, 14, tzinfo=UTC)
)
AUTOMATIC = ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.5")


@dataclass(frozen=True, slots=True)
class Gpt:
    """A model; up to GPT-5.5 caching is automatic and free, later ones cache at breakpoints and charge writes."""

    id: str
    caching: Literal["automatic", "breakpoints"]
    context: int
    retires: datetime | None = None


def _model(name: str) -> Gpt:
    automatic = name in AUTOMATIC
    context = LONG.get(name, SHORT) if automatic else BREAKPOINT_CONTEXT
    return Gpt(name, "automatic" if automatic else "breakpoints", context, RETIRES.get(name))


MODELS = {name: _model(name) for name in ROWS if name.startswith("gpt-") and not name.endswith("-decisions")}

ERROR_TYPES = {
    "auth": ("invalid_request_error", "invalid_api_key"),
    "billing": ("billing_error", "billing_hard_limit_reached"),
    "permission": ("invalid_request_error", "unsupported_country_region_territory"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "context_too_long": ("invalid_request_error", "context_length_exceeded"),
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "spend_limit": ("insufficient_quota", "insufficient_quota"),
}


def error_type(kind: str) -> tuple[str, str | None]:
    """The `type` and `code` of an error."""
    fallback = "invalid_request_error" if REJECTIONS[kind] < 500 else "server_error"
    return ERROR_TYPES.get(kind, (fallback, None))
