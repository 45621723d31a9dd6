"""OpenAI embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call
from ragkit_eval.twin.openai_prompt import lane_of
from ragkit_eval.twin.tokens import WIDE, count
from ragkit_eval.twin.vectors import as_base64, embed
from ragkit_eval.twin.world import Bill

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MOST_INPUTS = 2048
MOST_TOKENS = 8191
MOST_TOKENS_TOGETHER = 300_000


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


ROUTES = (("POST", "/v1/embeddings", embeddings),)
