"""Cohere's rerankers, by version 2 of its REST API: billed by search up to their version 4, by token from 5 on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.bound import search_units
from ragkit.nouns import Usage
from ragkit.providers.rest import count_in, open_rest
from ragkit.rerankers.remote import Api, Ask, RemoteReranker, Scores
from ragkit.settings import Settings
from ragkit.tokens import estimate_tokens

URL = "https://api.cohere.com"
MODEL = "rerank-v5.0-pro"
FIRST_BY_TOKEN = 5
VERSION = re.compile(r"v(\d+)")


def by_search(model: str) -> bool:
    found = VERSION.search(model)
    return found is None or int(found[1]) < FIRST_BY_TOKEN


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    return "/v2/rerank", {"model": ask.model, "query": ask.question, "documents": list(ask.texts)}


def from_wire(payload: Mapping[str, Any], ask: Ask) -> tuple[Scores, Usage | None]:
    scores = {each["index"]: float(each["relevance_score"]) for each in payload["results"]}
    if by_search(ask.model):
        searches = count_in(payload, "meta", "billed_units", "search_units")
        return scores, None if searches is None else Usage(searches=searches)
    tokens = count_in(payload, "meta", "billed_units", "input_tokens")
    return scores, None if tokens is None else Usage(input=tokens)


def estimate(ask: Ask) -> Usage:
    """What must have been billed where the answer does not say: at least one search."""
    if by_search(ask.model):
        sizes = [estimate_tokens(text) for text in ask.texts]
        return Usage(searches=search_units(estimate_tokens(ask.question), sizes))
    return Usage(input=ask.tokens)


API = Api("cohere", 1000, 10_000_000, to_wire, from_wire, estimate)
"""No cap on the tokens of a call is known."""


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteReranker:
    rest = open_rest("cohere", settings.providers.cohere, URL, seconds=settings.retry.timeout, http=http)
    return RemoteReranker.configured(API, rest, settings, MODEL)
