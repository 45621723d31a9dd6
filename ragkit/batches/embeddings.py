"""OpenAI's batches of embeddings: a request's texts stand in its question, as JSON, and the vectors in its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from ragkit.batch import Limits
from ragkit.batches.openai import LIMITS, Endpoint, OpenAIBatches
from ragkit.embedders import openai
from ragkit.embedders.remote import Ask
from ragkit.nouns import Completion, Request, Usage
from ragkit.providers.openai_chat import address
from ragkit.providers.wire import count, unbilled
from ragkit.settings import ProvidersSettings

NAME = "openai-embeddings"
MOST_TEXTS = 64
"""Texts of a request: what fails together, and is asked for again together."""
MOST_INPUTS = 50_000
"""Texts of a batch."""


def question(texts: Sequence[str], dimensions: int, *, shorter: bool) -> str:
    """What is asked for texts: vectors of so many numbers, which with `shorter` are not the model's own number."""
    return json.dumps({"texts": list(texts), "dimensions": dimensions, "shorter": shorter}, ensure_ascii=False)


def dimensions_of(request: Request) -> int:
    """How many numbers its vectors must have."""
    return int(json.loads(request.prompt.question)["dimensions"])


def to_wire(request: Request) -> dict[str, Any]:
    told = json.loads(request.prompt.question)
    dimensions = told["dimensions"] if told["shorter"] else None
    return openai.to_wire(Ask(request.model.id, "document", told["texts"], dimensions))[1]


def from_wire(payload: Mapping[str, Any]) -> Completion:
    """The vectors as they came, in the order of their texts."""
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled(NAME, "without usage")
    ordered = sorted(payload["data"], key=lambda each: each["index"])
    text = json.dumps([each["embedding"] for each in ordered])
    return Completion(text, Usage(input=count(payload, "usage", "prompt_tokens")), "end", payload["model"])


EMBEDDINGS = Endpoint("/v1/embeddings", to_wire, from_wire)


def configured(settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIBatches:
    """Raises `ConfigError` without a key, `MissingExtra` without the package."""
    own = settings.openai
    key = own.api_key.get_secret_value() if own.api_key else None
    api = OpenAIBatches(key, base_url=address(own), http=http, name=NAME, endpoint=EMBEDDINGS)
    api.limits = Limits(MOST_INPUTS // MOST_TEXTS, LIMITS.bytes)
    return api
