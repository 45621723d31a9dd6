"""Why a prompt was not read from the cache: `diagnostics.cache_miss_reason`, by comparison with an earlier message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ragkit_eval.twin.exchange import Call

if TYPE_CHECKING:
    from ragkit_eval.twin.anthropic import Plan

PARTS = (("model", "model_changed"), ("tools", "tools_changed"), ("system", "system_changed"))


def diagnose(call: Call, made: Plan, message_id: str) -> dict[str, Any]:
    """The `diagnostics` part of a message, empty when it was not asked for; remembers this request for later ones."""
    known = call.world.shelf("anthropic_messages")
    known[message_id] = {"body": made.body, "cached": made.outcome.cached}
    asked = made.body.get("diagnostics")
    if asked is None:
        return {}
    previous = asked.get("previous_message_id")
    reason = None if previous is None else _reason(known.get(previous), made)
    return {"diagnostics": {"cache_miss_reason": reason}}


def _reason(earlier: dict[str, Any] | None, made: Plan) -> dict[str, Any] | None:
    if earlier is None:
        return {"type": "previous_message_not_found"}
    missed = earlier["cached"] - made.outcome.read
    if missed <= 0:
        return None
    for part, kind in PARTS:
        if _bytes(earlier["body"].get(part)) != _bytes(made.body.get(part)):
            return {"type": kind, "cache_missed_input_tokens": missed}
    return {"type": "messages_changed", "cache_missed_input_tokens": missed}


def _bytes(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
