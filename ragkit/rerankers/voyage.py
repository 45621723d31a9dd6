"""Voyage's rerankers, by its REST API: billed by token, the question once per text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.nouns import Usage
from ragkit.providers.rest import count_in, open_rest
from ragkit.rerankers.remote import Api, Ask, RemoteReranker, Scores
from ragkit.settings import Settings

URL = "https://api.voyageai.com/v1"
MODEL = "rerank-3"


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    return "/rerank", {"model": ask.model, "query": ask.question, "documents": list(ask.texts)}


def from_wire(payload: Mapping[str, Any], ask: Ask) -> tuple[Scores, Usage | None]:
    scores = {each["index"]: float(each["relevance_score"]) for each in payload["data"]}
    tokens = count_in(payload, "usage", "total_tokens")
    return scores, None if tokens is None else Usage(input=tokens)


def estimate(ask: Ask) -> Usage:
    return Usage(input=ask.tokens)


API = Api("voyage", 1000, 600_000, to_wire, from_wire, estimate)


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteReranker:
    rest = open_rest("voyage", settings.providers.voyage, URL, seconds=settings.retry.timeout, http=http)
    return RemoteReranker.configured(API, rest, settings, MODEL)
