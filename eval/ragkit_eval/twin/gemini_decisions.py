"""Gemini's decisions: questions by their ids, levels by their places; billed by input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.decisions import best_of, chances, expected, predicate
from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.tokens import WIDE, count
from ragkit_eval.twin.world import Bill

DECIDERS = ("gemini-decision-1",)
CONTEXT = 262_144
MOST_QUESTIONS = 1_000
MOST_OPTIONS = 255


def _text(content: Any) -> str:
    """A text, a block or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else [content]
    return " ".join(str(block.get("text") or "") for block in blocks)


async def decisions(call: Call) -> Response:
    """POST /{version}/decisions"""
    body = call.body
    model, questions = str(body.get("model")).removeprefix("models/"), body.get("questions")
    if model not in DECIDERS:
        raise call.reject(f"models/{model} is not found or serves no decisions", "not_found")
    if unknown := sorted(set(body) - {"model", "input", "questions"}):
        raise call.reject(f'Invalid JSON payload received. Unknown name "{unknown[0]}"')
    if not isinstance(questions, dict) or not 1 <= len(questions) <= MOST_QUESTIONS:
        raise call.reject(f"questions: between 1 and {MOST_QUESTIONS} are allowed")
    text = _text(body.get("input") or "")
    if not text:
        raise call.reject("input: is required")
    tokens = count(text, WIDE) + count(json.dumps(questions), WIDE)
    if tokens > CONTEXT:
        raise call.reject(f"input and questions exceed the maximum of {CONTEXT} tokens", "context_too_long")
    answers = {name: _decide(call, question, text) for name, question in questions.items()}
    await call.wait_for_first_token()
    usage = {"total_input_tokens": tokens, "total_output_tokens": 0, "total_tokens": tokens}
    blocked = {"prompt_feedback": {"block_reason": "safety"}} if call.fault_kind == "refusal" else {}
    told = {} if blocked or call.fault_kind == "empty" else {"answers": answers}
    bill = Bill("gemini", model, {"input": tokens}, id=call.seen.request_id)
    return await call.answer({**told, **blocked, "usage": usage}, bill)


def _decide(call: Call, question: Mapping[str, Any], text: str) -> dict[str, Any]:
    kind = question.get("type")
    if kind not in ("noul", "choice", "score") or not question.get("instructions"):
        raise call.reject("questions: each needs a type and instructions")
    if kind == "noul":
        chance = predicate(question, text)
        return {"type": kind, "noul": chance, "confidence": max(chance, round(1 - chance, 6))}
    criteria = question.get("criteria") or {}
    if not 2 <= len(criteria) <= MOST_OPTIONS:
        raise call.reject(f"criteria: between 2 and {MOST_OPTIONS} are allowed")
    options = [f"{name} {meaning}" for name, meaning in criteria.items()] if kind == "choice" else list(criteria)
    names = list(criteria) if kind == "choice" else [str(place) for place in range(len(criteria))]
    found = chances(text, options, call.fault_kind)
    best, listed = best_of(found), dict(zip(names, found, strict=True))
    told = {"type": kind, "confidence": found[best], "probabilities": listed}
    if kind == "choice":
        return {**told, "choice": names[best]}
    return {**told, "score": expected(found), "legend": dict(zip(names, options, strict=True))}


ROUTES = (("POST", "/{version}/decisions", decisions),)
