"""OpenAI's embeddings. They know no difference between questions and documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.embedders.remote import Api, Ask, RemoteEmbedder, Vector, unpack
from ragkit.providers.rest import count_in, open_rest
from ragkit.settings import Settings

URL = "https://api.openai.com/v1"
MODEL = "text-embedding-3-small"


def to_wire(ask: Ask) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": ask.model, "input": list(ask.texts), "encoding_format": "base64"}
    return "/embeddings", body if ask.dimensions is None else {**body, "dimensions": ask.dimensions}


def from_wire(payload: Mapping[str, Any]) -> tuple[list[Vector], int | None]:
    ordered = sorted(payload["data"], key=lambda each: each["index"])
    return [unpack(each["embedding"]) for each in ordered], count_in(payload, "usage", "prompt_tokens")


API = Api("openai", most_texts=2048, most_tokens=300_000, to_wire=to_wire, from_wire=from_wire)


def configured(settings: Settings, http: httpx2.AsyncClient | None = None) -> RemoteEmbedder:
    rest = open_rest("openai", settings.providers.openai, URL, seconds=settings.retry.timeout, http=http)
    return RemoteEmbedder.configured(API, rest, settings, MODEL)
