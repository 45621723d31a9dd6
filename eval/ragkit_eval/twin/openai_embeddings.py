"""OpenAI embeddings and decisions: the endpoints that write no text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.openai_prompt import (
    DEFAULT_EFFORT,
    Inquiry,
    bill_of,
    commit,
    find_model,
    lane_of,
    make_plan,
    message_parts,
    texts_of,
)
from ragkit_eval.twin.openai_responses import NOTHING, response_usage
from ragkit_eval.twin.tokens import WIDE, count
from ragkit_eval.twin.vectors import as_base64, embed, relevance
from ragkit_eval.twin.world import Bill

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MOST_INPUTS = 2048
MOST_TOKENS = 8191
MOST_TOKENS_TOGETHER = 300_000
DECIDERS = ("gpt-6-luna",)
MOST_QUESTIONS = 400


def make_embeddings(call: Call, body: Mapping[str, Any], *, batch: bool = False) -> tuple[dict[str, Any], Bill]:
    """The answer and its bill; raises `Rejection` beyond the documented limits."""
    model, given = str(body.get("model")), body.get("input")
    if model not in DIMENSIONS:
        raise call.reject(f"The model `{model}` does not exist or you do not have access to it.", "not_found")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_INPUTS:
        raise call.reject(f"input: between 1 and {MOST_INPUTS} texts are allowed")
    if any(not isinstance(text, str) or not text for text in texts):
        raise call.reject("input: texts must not be empty")
    sizes = [count(text, WIDE) for text in texts]
    if max(sizes) > MOST_TOKENS:
        raise call.reject(f"This model's maximum context length is {MOST_TOKENS} tokens", "context_too_long")
    if sum(sizes) > MOST_TOKENS_TOGETHER:
        raise call.reject(f"Requested {sum(sizes)} tokens, max {MOST_TOKENS_TOGETHER} tokens per request")
    dimensions = body.get("dimensions") or DIMENSIONS[model]
    if not 1 <= dimensions <= DIMENSIONS[model]:
        raise call.reject(f"dimensions: between 1 and {DIMENSIONS[model]}")
    vectors = [embed(text, dimensions) for text in texts]
    packed = [as_base64(vector) for vector in vectors] if body.get("encoding_format") == "base64" else vectors
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(packed)]
    usage = {"prompt_tokens": sum(sizes), "total_tokens": sum(sizes)}
    bill = Bill("openai", model, {"input": sum(sizes)}, lane_of(call, "default", batch=batch), call.seen.request_id)
    return {"object": "list", "data": data, "model": model, "usage": usage}, bill


async def embeddings(call: Call) -> Response:
    """POST /v1/embeddings"""
    body, bill = make_embeddings(call, call.body)
    await call.wait_for_first_token()
    return await call.answer(body, bill)


async def decisions(call: Call) -> Response:
    """POST /v1/decisions: answers to questions about an input; output is free, input is cached like elsewhere."""
    body = call.body
    questions = body.get("questions") or []
    if body.get("model") not in DECIDERS:
        raise call.reject(f"model: decisions are served by {', '.join(DECIDERS)}")
    if not 1 <= len(questions) <= MOST_QUESTIONS:
        raise call.reject(f"questions: between 1 and {MOST_QUESTIONS} are allowed")
    given = body.get("input") or ""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    parts = (*texts_of(items), *message_parts("developer", json.dumps(questions)))
    options = body.get("prompt_cache_options") or {}
    inquiry = Inquiry(find_model(call, body["model"]), "", parts, 1, DEFAULT_EFFORT, "default", options=options)
    plan = make_plan(call, inquiry)
    await call.wait_for_first_token()
    commit(call, plan)
    text = " ".join(part.text for part in parts[:-1])
    refuse = call.fault_kind == "refusal"
    answers = [_decide(question, text, refuse=refuse) for question in questions]
    usage = response_usage(plan, NOTHING)
    return await call.answer(
        {"answers": answers, "model": body["model"], "usage": usage}, bill_of(call, plan, NOTHING, 0)
    )


def _decide(question: Mapping[str, Any], text: str, *, refuse: bool) -> dict[str, Any]:
    """An answer by shared words; the same question about the same input has the same answer."""
    kind, name = question["type"], question.get("name")
    if refuse:
        return {"type": "refusal", "name": name}
    instructions = json.dumps(question.get("instructions"))
    if kind == "predicate":
        (share,) = relevance(instructions, [text])
        return {"type": kind, "name": name, "probability": round(0.1 + 0.8 * share, 6)}
    options = question["choices"] if kind == "choice" else question["levels"]
    shares = relevance(text, [json.dumps(option) for option in options])
    whole = sum(shares) + len(shares)
    chances = [round((share + 1) / whole, 6) for share in shares]
    best = max(range(len(options)), key=lambda place: (chances[place], -place))
    if kind == "choice":
        listed = [
            {"value": each["value"], "probability": chance} for each, chance in zip(options, chances, strict=True)
        ]
        found = {"choice": options[best]["value"], "confidence": chances[best], "probabilities": listed}
    else:
        levels = [
            {"label": each["label"], "value": place, "probability": chances[place]}
            for place, each in enumerate(options)
        ]
        found = {"score": float(best), "confidence": chances[best], "probabilities": levels}
    return {"type": kind, "name": name, **found}


ROUTES = (
    ("POST", "/v1/embeddings", embeddings),
    ("POST", "/v1/decisions", decisions),
)
