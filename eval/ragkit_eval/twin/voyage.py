"""Voyage: rerank, billed for the query once per document and for all documents, and embeddings."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.exchange import Call, Protocol, Rejection
from ragkit_eval.twin.tokens import WIDE, count, pieces
from ragkit_eval.twin.vectors import as_base64, embed, relevance
from ragkit_eval.twin.world import Bill

RERANKERS = ("rerank-3", "rerank-3-lite", "rerank-2.5", "rerank-2.5-lite")
EMBEDDERS = ("voyage-4-large", "voyage-4", "voyage-4-lite", "voyage-code-4")
MOST_DOCUMENTS = 1000
MOST_QUERY_TOKENS = 8_000
MOST_PAIR_TOKENS = 32_000
MOST_TOKENS = 600_000
"""Per call of the 2.5 family: from memory, not from the vendor's page."""
USUAL_DIMENSIONS = 1024
DIMENSIONS = (256, 512, 1024, 2048)
MOST_TEXTS = 1000


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    return {"detail": rejection.message}


PROTOCOL = Protocol("voyage", error_body)


async def rerank(call: Call) -> Response:
    """POST /v1/rerank"""
    body = call.body
    model, query, documents = str(body.get("model")), str(body.get("query") or ""), body.get("documents")
    if model not in RERANKERS:
        raise call.reject(f"Model {model} is not supported. Supported models are {', '.join(RERANKERS)}.")
    if not isinstance(documents, list) or not 1 <= len(documents) <= MOST_DOCUMENTS:
        raise call.reject(f"The number of documents must be between 1 and {MOST_DOCUMENTS}.")
    asked = count(query, WIDE)
    if not 1 <= asked <= MOST_QUERY_TOKENS:
        raise call.reject(f"The query must have between 1 and {MOST_QUERY_TOKENS} tokens.")
    texts = [_fitted(call, str(document), MOST_PAIR_TOKENS - asked) for document in documents]
    total = asked * len(texts) + sum(count(text, WIDE) for text in texts)
    if total > MOST_TOKENS:
        raise call.reject(f"The request has {total} tokens; at most {MOST_TOKENS} are allowed.")
    scores = relevance(query, texts)
    order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: body.get("top_k") or len(texts)]
    shown = [{"index": place, "relevance_score": scores[place]} for place in order]
    if body.get("return_documents"):
        shown = [{**each, "document": documents[int(each["index"])]} for each in shown]
    await call.wait_for_first_token()
    data = [] if call.fault_kind == "empty" else shown
    answer = {"object": "list", "data": data, "model": model, "usage": {"total_tokens": total}}
    return await call.answer(answer, Bill("voyage", model, {"input": total}, id=call.seen.request_id))


def _fitted(call: Call, text: str, limit: int) -> str:
    """Cut to the limit, or refused where the caller does not want that."""
    tokens = pieces(text, WIDE)
    if len(tokens) > limit and call.body.get("truncation") is False:
        raise call.reject(f"A document is longer than {limit} tokens and truncation is off.")
    return "".join(tokens[:limit])


async def embeddings(call: Call) -> Response:
    """POST /v1/embeddings"""
    body = call.body
    model, given = str(body.get("model")), body.get("input")
    if model not in EMBEDDERS:
        raise call.reject(f"Model {model} is not supported. Supported models are {', '.join(EMBEDDERS)}.")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS:
        raise call.reject(f"The number of inputs must be between 1 and {MOST_TEXTS}.")
    dimensions = body.get("output_dimension") or USUAL_DIMENSIONS
    if dimensions not in DIMENSIONS:
        raise call.reject(f"output_dimension must be one of {', '.join(map(str, DIMENSIONS))}.")
    vectors = [embed(str(text), dimensions) for text in texts]
    packed = [as_base64(vector) for vector in vectors] if body.get("encoding_format") == "base64" else vectors
    data = [{"object": "embedding", "embedding": vector, "index": place} for place, vector in enumerate(packed)]
    total = sum(count(str(text), WIDE) for text in texts)
    await call.wait_for_first_token()
    answer = {"object": "list", "data": data, "model": model, "usage": {"total_tokens": total}}
    return await call.answer(answer, Bill("voyage", model, {"input": total}, id=call.seen.request_id))


ROUTES = (
    ("POST", "/v1/rerank", rerank),
    ("POST", "/v1/embeddings", embeddings),
)
