"""OpenAI's decisions endpoint by the official SDK: billed by input, whatever it answers.

Nothing is marked for a cache, and implicit breakpoints are switched off: instructions and a question are too short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from ragkit.decide import Rated, Rating
from ragkit.deciders.reading import read_chances
from ragkit.providers.openai_chat import address, sdk_client
from ragkit.providers.openai_responses import usage_of
from ragkit.providers.sdk import require_key, timeouts
from ragkit.providers.wire import read_object, unbilled
from ragkit.settings import ProvidersSettings

UNCACHED = {"prompt_cache_options": {"mode": "explicit"}}


class OpenAIDecisions:
    """`POST /v1/decisions`; `extra` are fields that only some servers of the protocol know."""

    def __init__(
        self,
        key: str | None,
        *,
        base_url: str | None = None,
        http: httpx2.AsyncClient | None = None,
        name: str = "openai",
        extra: Mapping[str, Any] = UNCACHED,
    ) -> None:
        self.name = name
        self._extra = extra
        key = require_key(key, name, f"{name.upper()}_API_KEY")
        self._client, self._errors = sdk_client(name, key, base_url, http)

    async def rate(self, rating: Rating) -> Rated:
        try:
            raw = await self._client.decisions.with_raw_response.create(
                **to_wire(rating), **self._extra, timeout=timeouts(rating.timeout)
            )
            return from_wire(read_object(raw.text), self.name, raw.headers.get("x-request-id"))
        except self._errors.caught as error:
            raise self._errors.translate(error, rating.served) from self._errors.cause(error)

    async def aclose(self) -> None:
        await self._client.close()


def to_wire(rating: Rating) -> dict[str, Any]:
    """The body of `POST /v1/decisions`: one question, about the text."""
    levels = [{"label": label, "description": meaning} for label, meaning in rating.levels.items()]
    question = {"type": "score", "instructions": rating.instructions, "levels": levels}
    return {"model": rating.served, "input": rating.text, "questions": [question]}


def from_wire(payload: Mapping[str, Any], name: str = "openai", request_id: str | None = None) -> Rated:
    """The chances in a `Decision`, none in a refusal."""
    if not isinstance(payload.get("usage"), Mapping):
        raise unbilled(name, "without usage", request_id)
    usage = usage_of(payload["usage"])
    return Rated(read_chances(lambda: _chances(payload["answers"]), name, usage, request_id), usage, request_id)


def _chances(answers: list[Mapping[str, Any]]) -> dict[str, float]:
    (answer,) = answers
    if answer["type"] == "refusal":
        return {}
    return {level["label"]: float(level["probability"]) for level in answer["probabilities"]}


def configured(settings: ProvidersSettings) -> OpenAIDecisions:
    own = settings.openai
    return OpenAIDecisions(own.api_key.get_secret_value() if own.api_key else None, base_url=address(own))
