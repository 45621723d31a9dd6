"""Cohere's embeddings, by version 2 of its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.embedders.remote import Api, Ask, RemoteEmbedder
from ragkit.providers.rest import count_in, open_rest
from ragkit.settings import Settings

URL = "https://api.cohere.com"
MODEL = "embed-v5.0-fast"


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    """A text that is too long is an error: cut in silence, a part of it could never be found."""
    body: dict[str, Any] = {
        "model": ask.model,
        "texts": list(ask.texts),
        "input_type": f"search_{ask.purpose}",
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    return "/v2/embed", body if ask.dimensions is None else {**body, "output_dimension": ask.dimensions}


def from_wire(payload: Mapping[str, Any]) -> tuple[list[list[float]], int | None]:
    return payload["embeddings"]["float"], count_in(payload, "meta", "billed_units", "input_tokens")


API = Api("cohere", most_texts=96, most_tokens=1_000_000, to_wire=to_wire, from_wire=from_wire)
"""No cap on the tokens of a call is known."""


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteEmbedder:
    rest = open_rest("cohere", settings.providers.cohere, URL, seconds=settings.retry.timeout, http=http)
    return RemoteEmbedder.configured(API, rest, settings, MODEL)
