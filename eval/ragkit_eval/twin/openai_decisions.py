"""OpenAI's decisions: answers to questions about an input. Output is free, input is cached like elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.decisions import best_of, chances, expected, predicate
from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.openai_prompt import (
    DEFAULT_EFFORT,
    Inquiry,
    bill_of,
    commit,
    find_model,
    make_plan,
    message_parts,
    texts_of,
)
from ragkit_eval.twin.openai_responses import NOTHING, response_usage

DECIDERS = ("gpt-6-luna",)
BILLED_AS = "-decisions"
MOST_QUESTIONS = 400
MOST_CHOICES = 255
FIELDS = {"model", "input", "questions", "prompt_cache_key", "prompt_cache_options", "safety_identifier"}


def check(call: Call, body: Mapping[str, Any], *, fields: set[str], most_questions: int, most_levels: int) -> None:
    """Raise `Rejection` for what the endpoint does not know or take."""
    if unknown := sorted(set(body) - fields):
        raise call.reject(f"Unknown parameter: '{unknown[0]}'.")
    if not isinstance(body.get("input"), str | list) or not body["input"]:
        raise call.reject("input: is required")
    if not 1 <= len(body.get("questions") or []) <= most_questions:
        raise call.reject(f"questions: between 1 and {most_questions} are allowed")
    for question in body["questions"]:
        if question.get("type") not in ("predicate", "choice", "score") or not question.get("instructions"):
            raise call.reject("questions: each needs a type and instructions")
        options = question.get("choices" if question["type"] == "choice" else "levels")
        most = MOST_CHOICES if question["type"] == "choice" else most_levels
        if question["type"] != "predicate" and not 2 <= len(options or []) <= most:
            raise call.reject(f"questions: between 2 and {most} options are allowed")


async def decisions(call: Call) -> Response:
    """POST /v1/decisions"""
    body = call.body
    if body.get("model") not in DECIDERS:
        raise call.reject(f"model: decisions are served by {', '.join(DECIDERS)}")
    check(call, body, fields=FIELDS, most_questions=MOST_QUESTIONS, most_levels=MOST_CHOICES)
    given = body["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    parts = (*texts_of(items), *message_parts("developer", json.dumps(body["questions"])))
    options = body.get("prompt_cache_options") or {}
    inquiry = Inquiry(find_model(call, body["model"]), "", parts, 1, DEFAULT_EFFORT, "default", options=options)
    plan = make_plan(call, inquiry)
    await call.wait_for_first_token()
    commit(call, plan)
    bill = replace(bill_of(call, plan, NOTHING, 0), model=body["model"] + BILLED_AS)
    return await call.answer(respond(call, body["model"], parts[:-1], response_usage(plan, NOTHING)), bill)


def respond(call: Call, model: str, parts: tuple[Any, ...], usage: Mapping[str, Any]) -> dict[str, Any]:
    """A `Decision` about what the parts say."""
    text = " ".join(part.text for part in parts)
    answers = [_decide(question, text, call.fault_kind) for question in call.body["questions"]]
    return {"answers": [] if call.fault_kind == "empty" else answers, "model": model, "usage": usage}


def _decide(question: Mapping[str, Any], text: str, fault: str) -> dict[str, Any]:
    kind = question["type"]
    head = {"type": kind, "name": question.get("name")}
    if fault == "refusal":
        return {**head, "type": "refusal"}
    if kind == "predicate":
        return {**head, "probability": predicate(question, text)}
    options = question["choices" if kind == "choice" else "levels"]
    found = chances(text, options, fault)
    best = best_of(found)
    told = {**head, "confidence": found[best]}
    if kind == "choice":
        listed = [{"value": each["value"], "probability": it} for each, it in zip(options, found, strict=True)]
        return {**told, "choice": options[best]["value"], "probabilities": listed}
    levels = [
        {"label": each["label"], "value": place, "probability": found[place]} for place, each in enumerate(options)
    ]
    return {**told, "score": expected(found), "probabilities": levels}


ROUTES = (("POST", "/v1/decisions", decisions),)
