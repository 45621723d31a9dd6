"""What goes out, as recorded in `snapshots`; a change there is a change of bytes that caches and bills depend on.

`RAGKIT_TEST_RECORD=1` writes the snapshots anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragkit.nouns import Chunk, Model, Prefix, Prompt, Request, Schema, Turn
from ragkit.providers import anthropic, gemini, openai_chat, openai_responses
from ragkit.providers.gateway import GATEWAY
from ragkit.providers.vllm import VLLM

SNAPSHOTS = Path(__file__).with_name("snapshots")
HOT = Chunk("c1", "d1", "hot.md", "Hot text.", 0, 9, 0, 3)
COLD = Chunk("c2", "d2", "cold.md", "Cold text.", 0, 10, 0, 3)
SCHEMA = Schema(
    "answer",
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {"abstained": {"type": "boolean"}},
        "required": ["abstained"],
    },
)
PREFIX = Prefix("Documents: hot", (HOT,), ("d1",), "digest", 900, marked=True, ttl="1h", reason="warm")
PROMPT = Prompt("Instructions.", PREFIX, "Documents: cold", (COLD,), "Question: why?", tokens=1000)
HISTORY = (Turn("user", "What is it?"), Turn("assistant", "A cache."))
REPAIR = (Turn("assistant", '{"abstained": 1}'), Turn("user", "That answer is not valid."))
MODELS = {
    "anthropic": "claude-sonnet-5-5",
    "openai_chat": "gpt-6-luna",
    "openai_responses": "gpt-6-luna",
    "gemini": "gemini-3.8-flash",
    "vllm": "local-model",
    "gateway": "anthropic/claude-sonnet-5-5",
}
Wire = Callable[[Request], dict[str, Any]]
WIRES: dict[str, Wire] = {
    "anthropic": anthropic.to_wire,
    "openai_chat": openai_chat.to_wire,
    "openai_responses": openai_responses.to_wire,
    "gemini": gemini.to_wire,
    "vllm": lambda request: openai_chat.to_wire(request, VLLM, stream=True),
    "gateway": lambda request: openai_chat.to_wire(request, replace(GATEWAY, extra={"usage": {"include": True}})),
}


def ask(protocol: str, **changes: Any) -> Request:
    model = Model(MODELS[protocol], protocol, "small")
    return replace(Request(PROMPT, model, SCHEMA, max_output=512, cache_key="tenant-key"), **changes)


def full(protocol: str) -> Request:
    return ask(
        protocol,
        prompt=replace(PROMPT, history=HISTORY),
        repair=REPAIR,
        lane="priority",
        model=Model(MODELS[protocol], protocol, "small", effort="none"),
    )


def plain(protocol: str) -> Request:
    return ask(protocol, prompt=replace(PROMPT, prefix=Prefix()), cache_key="")


@pytest.mark.parametrize("protocol", WIRES)
@pytest.mark.parametrize("case", [ask, full, plain], ids=["marked", "full", "plain"])
def test_the_body_is_the_recorded_one(protocol: str, case: Callable[[str], Request], request: Any) -> None:
    name = request.node.callspec.id.replace("-", "_")
    file = SNAPSHOTS / f"{name}.json"
    body = json.dumps(WIRES[protocol](case(protocol)), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("RAGKIT_TEST_RECORD"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(body, encoding="utf-8")
    assert body == file.read_text(encoding="utf-8")
