"""Gemini's embeddings, by key: what a text is for is a parameter of the first model, a phrase for later ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.embedders.remote import Api, Ask, RemoteEmbedder
from ragkit.providers.rest import count_in, open_rest
from ragkit.settings import Settings

URL = "https://generativelanguage.googleapis.com"
MODEL = "gemini-embedding-2"
PHRASES = {"document": "title: none | text: ", "query": "task: search result | query: "}


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    name, by_parameter = f"models/{ask.model}", ask.model == "gemini-embedding-001"
    request: dict[str, Any] = {"model": name}
    if by_parameter:
        request["taskType"] = f"RETRIEVAL_{ask.purpose.upper()}"
    if ask.dimensions is not None:
        request["outputDimensionality"] = ask.dimensions
    phrase = "" if by_parameter else PHRASES[ask.purpose]
    requests = [{**request, "content": {"parts": [{"text": phrase + text}]}} for text in ask.texts]
    return f"/v1/{name}:batchEmbedContents", {"requests": requests}


def from_wire(payload: Mapping[str, Any]) -> tuple[list[list[float]], int | None]:
    vectors = [each["values"] for each in payload["embeddings"]]
    return vectors, count_in(payload, "usageMetadata", "promptTokenCount")


API = Api("gemini", most_texts=100, most_tokens=1_000_000, to_wire=to_wire, from_wire=from_wire)
"""A hundred texts are recalled, not read in its documentation; no cap on their tokens is known."""


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteEmbedder:
    rest = open_rest("gemini", settings.providers.gemini, URL, seconds=settings.retry.timeout, http=http)
    return RemoteEmbedder.configured(API, rest, settings, MODEL)
