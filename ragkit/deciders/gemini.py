"""Gemini's decisions endpoint, by key.

It is asked by REST: Google's SDK raises errors of a private module here, which nobody could tell apart by its public
names. Vertex AI does not serve it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.decide import Rated, Rating
from ragkit.deciders.reading import read_chances
from ragkit.nouns import Usage
from ragkit.providers.rest import Rest
from ragkit.providers.sdk import require_key
from ragkit.providers.wire import count, rest, unbilled
from ragkit.settings import ProvidersSettings

URL = "https://generativelanguage.googleapis.com"
PATH = "/v1beta/decisions"
QUESTION = "level"


class GeminiDecisions:
    """`POST /v1beta/decisions`."""

    name = "gemini"

    def __init__(self, key: str | None, *, base_url: str | None = None, http: httpx2.AsyncClient | None = None) -> None:
        key = require_key(key, self.name, "GEMINI_API_KEY")
        self._rest = Rest(self.name, key, base_url or URL, key_header="x-goog-api-key", http=http)

    async def rate(self, rating: Rating) -> Rated:
        labels = tuple(rating.levels)

        def read(payload: Mapping[str, Any], request_id: str | None) -> Rated:
            return from_wire(payload, labels, request_id)

        return await self._rest.ask(PATH, to_wire(rating), rating.served, read, seconds=rating.timeout)

    async def aclose(self) -> None:
        await self._rest.aclose()


def to_wire(rating: Rating) -> dict[str, Any]:
    """The body: one question, about the text. Levels have no names there, so the names begin what they mean."""
    criteria = [f"{label}: {meaning}" for label, meaning in rating.levels.items()]
    question = {"type": "score", "instructions": rating.instructions, "criteria": criteria}
    return {"model": f"models/{rating.served}", "input": rating.text, "questions": {QUESTION: question}}


def from_wire(payload: Mapping[str, Any], labels: tuple[str, ...], request_id: str | None = None) -> Rated:
    """The chances, by the places of the levels on the wire; a blocked input has no answers."""
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled("gemini", "without usage", request_id)
    usage = usage_of(payload["usage"])
    return Rated(read_chances(lambda: _chances(payload, labels), "gemini", usage, request_id), usage, request_id)


def _chances(payload: Mapping[str, Any], labels: tuple[str, ...]) -> dict[str, float]:
    if (payload.get("prompt_feedback") or {}).get("block_reason"):
        return {}
    told = payload["answers"][QUESTION]["probabilities"]
    return {labels[int(place)]: float(chance) for place, chance in told.items()}


def usage_of(reported: Mapping[str, Any]) -> Usage:
    """`total_input_tokens` includes what was cached; thoughts are output."""
    read, thoughts = count(reported, "total_cached_tokens"), count(reported, "total_thought_tokens")
    return Usage(
        input=rest(count(reported, "total_input_tokens"), read),
        cache_read=read,
        output=count(reported, "total_output_tokens") + thoughts,
        reasoning=thoughts,
    )


def configured(settings: ProvidersSettings) -> GeminiDecisions:
    own = settings.gemini
    return GeminiDecisions(own.api_key.get_secret_value() if own.api_key else None, base_url=own.base_url)
