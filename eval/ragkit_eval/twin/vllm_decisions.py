"""vLLM's decisions: OpenAI's protocol by a local model, free, and strict about fields."""

from __future__ import annotations

import json

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.openai_decisions import check, respond
from ragkit_eval.twin.openai_prompt import texts_of
from ragkit_eval.twin.tokens import WIDE, pieces
from ragkit_eval.twin.vllm import BLOCK, CONTEXT
from ragkit_eval.twin.world import Bill

FIELDS = {"model", "input", "questions", "safety_identifier"}
MOST_QUESTIONS = 200
MOST_LEVELS = 10


async def decisions(call: Call) -> Response:
    """POST /v1/decisions: unlike elsewhere here, an unknown field is refused."""
    body, world = call.body, call.world
    model = str(body.get("model"))
    if model not in world.options.vllm_models:
        raise call.reject(f"The model `{model}` does not exist.", "not_found")
    check(call, body, fields=FIELDS, most_questions=MOST_QUESTIONS, most_levels=MOST_LEVELS)
    given = body["input"]
    parts = texts_of([{"role": "user", "content": given}] if isinstance(given, str) else given)
    tokens = [piece for part in parts for piece in pieces(part.raw, WIDE)]
    tokens += pieces(json.dumps(body["questions"]), WIDE)
    if len(tokens) > CONTEXT:
        raise call.reject(f"This model's maximum context length is {CONTEXT} tokens.", "context_too_long")
    root = json.dumps(["vllm", model, None])
    read, blocks = world.local_cache.look_up(root, tokens, BLOCK, call.seen.at)
    read = min(read, (len(tokens) - 1) // BLOCK * BLOCK)
    await call.wait_for_first_token()
    world.local_cache.commit(blocks, call.seen.at)
    usage = {
        "input_tokens": len(tokens),
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": len(tokens),
    }
    classes = {"input": len(tokens) - read, "read": read}
    bill = Bill("vllm", model, classes, "local", call.seen.request_id, free=True)
    return await call.answer(respond(call, model, parts, usage), bill)


ROUTES = (("POST", "/v1/decisions", decisions),)
