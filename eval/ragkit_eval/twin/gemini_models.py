"""What the Gemini models accept, as far as it changes a bill or breaks a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ragkit_eval.twin.prices import ROWS


@dataclass(frozen=True, slots=True)
class Gemini:
    """A model; `minimum` is the shortest prefix that is cached, `budgets` whether thinking takes a token budget."""

    id: str
    minimum: int
    context: int = 1_048_576
    max_output: int = 65_536
    budgets: bool = True
    explicit: bool = True
    retires: datetime | None = None


def _model(name: str) -> Gemini:
    if name == "gemini-4-argon":
        return Gemini(name, 4096, max_output=1_048_576, budgets=False, explicit=False)
    retires = datetime(2027, 5, 7, tzinfo=UTC) if name == "gemini-3.1-flash-lite" else None
    return Gemini(name, 2048 if name.startswith("gemini-2.5") else 4096, retires=retires)


MODELS = {
    name: _model(name)
    for name in ROWS
    if name.startswith("gemini-") and not name.startswith(("gemini-embedding", "gemini-decision"))
}
EMBEDDERS = {"gemini-embedding-001": 2048, "gemini-embedding-2": 8192}
"""The tokens that each takes per text."""
DIMENSIONS = 3072
