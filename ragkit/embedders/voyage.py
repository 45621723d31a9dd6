"""Voyage's embeddings, by its REST API: the SDK brings 169 MB for this one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.embedders.remote import Api, Ask, RemoteEmbedder, Vector, unpack
from ragkit.providers.rest import count_in, open_rest
from ragkit.settings import Settings

URL = "https://api.voyageai.com/v1"
MODEL = "voyage-4"


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    """A text that is too long is an error: cut in silence, a part of it could never be found."""
    body: dict[str, Any] = {
        "model": ask.model,
        "input": list(ask.texts),
        "input_type": ask.purpose,
        "truncation": False,
        "encoding_format": "base64",
    }
    return "/embeddings", body if ask.dimensions is None else {**body, "output_dimension": ask.dimensions}


def from_wire(payload: Mapping[str, Any]) -> tuple[list[Vector], int | None]:
    ordered = sorted(payload["data"], key=lambda each: each["index"])
    return [unpack(each["embedding"]) for each in ordered], count_in(payload, "usage", "total_tokens")


API = Api("voyage", most_texts=1000, most_tokens=120_000, to_wire=to_wire, from_wire=from_wire)
"""The cap on tokens is that of the largest model; smaller ones take more."""


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteEmbedder:
    rest = open_rest("voyage", settings.providers.voyage, URL, seconds=settings.retry.timeout, http=http)
    return RemoteEmbedder.configured(API, rest, settings, MODEL)
