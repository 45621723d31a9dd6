"""vLLM's decisions endpoint, which speaks OpenAI's protocol and refuses every field that it does not know."""

from __future__ import annotations

import httpx2

from ragkit.deciders.openai import OpenAIDecisions
from ragkit.providers.vllm import BASE_URL, NO_KEY
from ragkit.settings import ProvidersSettings


def vllm(
    key: str | None = None, *, base_url: str | None = None, http: httpx2.AsyncClient | None = None
) -> OpenAIDecisions:
    """The adapter for a vLLM server."""
    return OpenAIDecisions(key or NO_KEY, base_url=base_url or BASE_URL, http=http, name="vllm", extra={})


def configured(settings: ProvidersSettings) -> OpenAIDecisions:
    own = settings.vllm
    return vllm(own.api_key.get_secret_value() if own.api_key else None, base_url=own.base_url)
