"""vLLM, which speaks Chat Completions: OpenAI's adapter in another dialect.

The cache key goes out as `cache_salt`, so that tenants do not share a prefix cache. Streams report usage with every
chunk, so that one that is cut has an exact price.
"""

from __future__ import annotations

import httpx2

from ragkit.providers.openai_chat import Dialect, OpenAIChat
from ragkit.settings import ProvidersSettings

BASE_URL = "http://127.0.0.1:8000/v1"
NO_KEY = "no-key-needed"
"""What a server without keys is sent: the SDK wants something."""

VLLM = Dialect(key_field="cache_salt", parts=False, tiers={}, stream={"continuous_usage_stats": True})


def vllm(key: str | None = None, *, base_url: str | None = None, http: httpx2.AsyncClient | None = None) -> OpenAIChat:
    """The adapter for a vLLM server."""
    return OpenAIChat(key or NO_KEY, base_url=base_url or BASE_URL, http=http, name="vllm", dialect=VLLM)


def configured(settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIChat:
    own = settings.vllm
    return vllm(own.api_key.get_secret_value() if own.api_key else None, base_url=own.base_url, http=http)
