"""Any OpenAI-compatible gateway, such as OpenRouter, the LiteLLM proxy or Portkey: OpenAI's adapter in a dialect.

What the gateway reports as its own cost is kept beside ours. The LiteLLM proxy tells it in a header, OpenRouter in the
usage, to some only if `{"usage": {"include": true}}` is in the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx2

from ragkit.errors import ConfigError
from ragkit.providers.openai_chat import Dialect, OpenAIChat
from ragkit.settings import ProvidersSettings

GATEWAY = Dialect(limit_field="max_tokens", cost_headers=("x-litellm-response-cost",), cost_field="cost")


def gateway(
    key: str | None,
    *,
    base_url: str,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    http: httpx2.AsyncClient | None = None,
) -> OpenAIChat:
    """The adapter for a gateway at `base_url`; `headers` and `body` go out with each request."""
    dialect = replace(GATEWAY, extra=body or {})
    return OpenAIChat(key, base_url=base_url, headers=headers, http=http, name="gateway", dialect=dialect)


def configured(settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> OpenAIChat:
    own = settings.gateway
    if not own.base_url:
        raise ConfigError("a gateway has no address: set base_url in [providers.gateway]")
    key = own.api_key.get_secret_value() if own.api_key else None
    return gateway(key, base_url=own.base_url, headers=own.headers, body=own.body, http=http)
