"""What a simulated model writes: thinking first, then text in pieces, up to a limit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ragkit_eval.twin.answer import Material, prose
from ragkit_eval.twin.faults import Fault
from ragkit_eval.twin.fill import Filler
from ragkit_eval.twin.obedience import obey, tool_call
from ragkit_eval.twin.tokens import pieces

THINKING = {"none": 0, "minimal": 16, "low": 48, "medium": 128, "high": 320, "xhigh": 640, "max": 1280}
"""Tokens of thinking by effort; real models vary, the twin does not."""
REFUSAL = "I can't help with that request."

Stop = Literal["end", "length", "refusal", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be written. `limit` covers thinking too; `width` is the tokenizer's; `any_json` wants some object."""

    material: Material
    limit: int
    width: int
    thinking: int = 0
    schema: Mapping[str, Any] | None = None
    any_json: bool = False
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: `thinking` tokens, then the text's tokens."""

    pieces: tuple[str, ...]
    thinking: int
    stop: Stop
    stop_sequence: str | None = None
    call: Mapping[str, Any] | None = None
    """What it calls a tool with that nobody offered."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def output(self) -> int:
        return self.thinking + len(self.pieces)


def write(task: Task, fault: Fault | None) -> Written:
    """Write the answer, or what a fault makes of it; thinking and text stop together at the limit."""
    kind = fault.kind if fault else ""
    text, stop, sequence = _text(task, kind)
    tokens = pieces(text, task.width)
    if kind == "length":
        tokens, stop = tokens[: max(1, len(tokens) // 2)], "length"
    thinking = min(task.thinking, task.limit)
    if thinking + len(tokens) > task.limit:
        tokens, stop, sequence = tokens[: task.limit - thinking], "length", None
    return Written(tokens, thinking, stop, sequence, tool_call(task.material) if kind == "obey" else None)


def _text(task: Task, kind: str) -> tuple[str, Stop, str | None]:
    if kind == "refusal":
        return REFUSAL, "refusal", None
    if kind == "empty":
        return "", "end", None
    text = _answer(task, kind)
    cuts = [(text.index(stop), stop) for stop in task.stops if stop in text]
    if cuts:
        place, sequence = min(cuts)
        return text[:place], "stop_sequence", sequence
    return text, "end", None


def _answer(task: Task, kind: str) -> str:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}} if task.any_json else task.schema
    if kind == "obey":
        return obey(schema, task.material)
    if schema is None:
        return prose(task.material)
    if kind == "schema_break":
        return json.dumps({"unexpected": prose(task.material)}, ensure_ascii=False)
    filled = Filler(schema, task.material, invented=kind == "invented_quote").fill()
    return json.dumps(filled, ensure_ascii=False)
