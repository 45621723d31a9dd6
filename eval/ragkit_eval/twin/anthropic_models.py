"""What the Claude models accept and how they behave, as far as it changes a bill or breaks a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ragkit_eval.twin.tokens import NARROW, WIDE

Thinking = Literal["off", "adaptive", "always"]


@dataclass(frozen=True, slots=True)
class Claude:
    """A model. `thinking` is what happens when the request does not say; `lowest` what may be asked for at least.

    Where the vendor's pages that were read say nothing, the value of the nearest sibling stands here.
    """

    id: str
    minimum: int
    context: int = 1_000_000
    max_output: int = 128_000
    forced_tools: bool = True
    thinking: Thinking = "adaptive"
    lowest: tuple[str, ...] = ("adaptive", "between_tools", "disabled")
    effort: str | None = "high"
    prefill: bool = False
    sampling: bool = False
    fast: bool = False
    regional: bool = True
    width: int = NARROW
    retires: datetime | None = None


OLD = ("adaptive", "enabled", "disabled")
ALWAYS = ("adaptive",)
_MODELS = (
    Claude("claude-haiku-5-5", 512, effort="medium"),
    Claude("claude-sonnet-5-5", 512, forced_tools=False, lowest=("adaptive", "between_tools")),
    Claude("claude-opus-5-5", 512, forced_tools=False, thinking="always", lowest=ALWAYS, effort="medium", fast=True),
    Claude("claude-fable-5-1", 512, forced_tools=False, thinking="always", lowest=ALWAYS),
    Claude("claude-opus-5", 512, fast=True),
    Claude("claude-sonnet-5", 1024),
    Claude("claude-opus-4-8", 1024, thinking="off", fast=True),
    Claude("claude-opus-4-7", 2048, thinking="off"),
    Claude("claude-sonnet-4-6", 1024, thinking="off", lowest=OLD, sampling=True, width=WIDE),
    Claude("claude-opus-4-6", 4096, thinking="off", lowest=OLD, sampling=True, width=WIDE),
    Claude(
        "claude-opus-4-5",
        4096,
        200_000,
        64_000,
        thinking="off",
        lowest=OLD,
        prefill=True,
        sampling=True,
        regional=False,
        width=WIDE,
    ),
    Claude(
        "claude-sonnet-4-5",
        1024,
        200_000,
        64_000,
        thinking="off",
        lowest=OLD,
        prefill=True,
        sampling=True,
        regional=False,
        width=WIDE,
        retires=datetime(2026, 11, 30, tzinfo=UTC),
    ),
    Claude(
        "claude-haiku-4-5",
        4096,
        200_000,
        64_000,
        thinking="off",
        lowest=("enabled", "disabled"),
        effort=None,
        prefill=True,
        sampling=True,
        regional=False,
        width=WIDE,
    ),
)
MODELS = {model.id: model for model in _MODELS}


def describe(model: Claude, now: datetime) -> dict[str, Any]:
    """The answer of the models endpoint; it knows no prices."""
    retired = model.retires is not None and model.retires <= now
    lifecycle = "retired" if retired else "active" if model.retires is None else "deprecated"
    yes, no = {"supported": True}, {"supported": False}
    levels = ("low", "medium", "high", "xhigh", "max")
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": lifecycle,
        "retires_at": model.retires.isoformat() if model.retires else None,
        "deprecated_at": None,
        "line": model.id.split("-")[1],
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": {
            "batch": yes,
            "citations": yes,
            "structured_outputs": yes,
            "image_input": yes,
            "pdf_input": yes,
            "code_execution": no,
            "effort": {
                "supported": model.effort is not None,
                **dict.fromkeys(levels, yes if model.effort else no),
            },
            "thinking": {
                "supported": True,
                "types": {
                    "adaptive": {"supported": "adaptive" in model.lowest},
                    "enabled": {"supported": "enabled" in model.lowest},
                },
            },
            "server_tools": no,
            "context_management": no,
        },
    }
