"""Cohere: rerank, billed by searches up to version 4 and by tokens from version 5 on, and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from ragkit_eval.twin.answer import sentences, stems
from ragkit_eval.twin.exchange import Call, Protocol, Rejection
from ragkit_eval.twin.tokens import WIDE, count, pieces
from ragkit_eval.twin.vectors import as_base64, embed, relevance
from ragkit_eval.twin.world import Bill

BY_SEARCH = ("rerank-v4.0-pro", "rerank-v4.0-fast", "rerank-v3.5")
BY_TOKEN = ("rerank-v5.0-pro", "rerank-v5.0-fast")
DOCUMENTS_PER_SEARCH = 100
TOKENS_PER_DOCUMENT = 500
"""A document that is longer, the query included, counts as several: from memory, not from the vendor's page."""
USUAL_LIMIT = 4096
DIMENSIONS = {"embed-v5.0-pro": 2048, "embed-v5.0-fast": 2048, "embed-v4.0": 1536}
MOST_TEXTS = 96
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")


def error_body(rejection: Rejection, request_id: str) -> dict[str, Any]:
    return {"id": request_id, "message": rejection.message}


PROTOCOL = Protocol("cohere", error_body)


async def rerank(call: Call) -> Response:
    """POST /v2/rerank"""
    body = call.body
    model, query, documents = str(body.get("model")), str(body.get("query") or ""), body.get("documents")
    if model not in BY_SEARCH + BY_TOKEN:
        raise call.reject(f"model '{model}' not found, make sure the correct model ID was used", "not_found")
    if not query or not isinstance(documents, list) or not documents:
        raise call.reject("invalid request: query and documents must not be empty")
    spans = body.get("relevant_spans")
    if spans and model not in BY_TOKEN:
        raise call.reject(f"relevant_spans is not supported by {model}")
    limit = int(body.get("max_tokens_per_doc") or USUAL_LIMIT)
    texts = ["".join(pieces(str(document), WIDE)[:limit]) for document in documents]
    scores = relevance(query, texts)
    order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: body.get("top_n") or len(texts)]
    results = [_result(place, scores[place], model, _spans(query, texts[place], spans)) for place in order]
    billed, bill = _bill(call, model, query, texts)
    meta = {"api_version": {"version": "2"}, "billed_units": billed, "tokens": None, "cached_tokens": 0}
    await call.wait_for_first_token()
    answer = {"id": call.world.new_id("rerank"), "results": [] if call.fault_kind == "empty" else results, "meta": meta}
    return await call.answer(answer, bill)


def _result(place: int, score: float, model: str, spans: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Scores of version 5 are calibrated; those before are only good for ordering one query's documents."""
    shown = score if model in BY_TOKEN else round(score * score / 2, 6)
    result: dict[str, Any] = {"index": place, "relevance_score": shown}
    return result if spans is None else {**result, "relevant_spans": spans}


def _spans(query: str, text: str, wanted: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """The sentences that matter, as half-open ranges of code points."""
    if not wanted or wanted.get("mode") != "enabled":
        return None
    words = stems(query)
    rows = [(len(words & held) / max(len(words), 1), start, quote) for quote, start, held in sentences(text)]
    rows = [row for row in rows if row[0] >= wanted.get("threshold", 0.1)]
    best = sorted(rows, key=lambda row: (-row[0], row[1]))[: wanted.get("max_spans") or len(rows)]
    return [{"start": start, "end": start + len(quote), "score": round(score, 6)} for score, start, quote in best]


def _bill(call: Call, model: str, query: str, texts: Sequence[str]) -> tuple[dict[str, int], Bill]:
    """From version 5 on the query counts once per document, as far as is known."""
    asked = count(query, WIDE)
    sizes = [asked + count(text, WIDE) for text in texts]
    if model in BY_TOKEN:
        return {"input_tokens": sum(sizes)}, Bill("cohere", model, {"input": sum(sizes)}, id=call.seen.request_id)
    parts = sum(-(-size // TOKENS_PER_DOCUMENT) for size in sizes)
    searches = -(-parts // DOCUMENTS_PER_SEARCH)
    return {"search_units": searches}, Bill("cohere", model, {"search": searches}, id=call.seen.request_id)


async def embeddings(call: Call) -> Response:
    """POST /v2/embed"""
    body = call.body
    model, texts = str(body.get("model")), body.get("texts")
    if model not in DIMENSIONS:
        raise call.reject(f"model '{model}' not found, make sure the correct model ID was used", "not_found")
    if body.get("input_type") not in INPUT_TYPES:
        raise call.reject("invalid request: input_type is required")
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS:
        raise call.reject(f"invalid request: between 1 and {MOST_TEXTS} texts are allowed")
    dimensions = int(body.get("output_dimension") or DIMENSIONS[model])
    vectors = [embed(str(text), dimensions) for text in texts]
    kinds = body.get("embedding_types") or ["float"]
    if unknown := sorted(set(kinds) - set(PACKERS)):
        raise call.reject(f"invalid request: unknown embedding type '{unknown[0]}'")
    tokens = sum(count(str(text), WIDE) for text in texts)
    await call.wait_for_first_token()
    answer = {
        "id": call.world.new_id("embed"),
        "response_type": "embeddings_by_type",
        "embeddings": {kind: [PACKERS[kind](vector) for vector in vectors] for kind in kinds},
        "texts": texts,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
    }
    return await call.answer(answer, Bill("cohere", model, {"input": tokens}, id=call.seen.request_id))


def _bits(vector: Sequence[float]) -> list[int]:
    """One bit per dimension, eight to a byte."""
    signs = [value > 0 for value in vector]
    return [
        sum(bit << (7 - place) for place, bit in enumerate(signs[start : start + 8]))
        for start in range(0, len(signs), 8)
    ]


PACKERS: dict[str, Callable[[Sequence[float]], Any]] = {
    "float": list,
    "int8": lambda vector: [round(value * 127) for value in vector],
    "uint8": lambda vector: [round(value * 127) + 128 for value in vector],
    "binary": lambda vector: [byte - 128 for byte in _bits(vector)],
    "ubinary": _bits,
    "base64": as_base64,
}

ROUTES = (
    ("POST", "/v2/rerank", rerank),
    ("POST", "/v2/embed", embeddings),
)
