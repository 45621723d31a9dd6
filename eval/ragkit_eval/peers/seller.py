"""The model for frameworks that are compared: one text in, one text out, with the exact price of the call."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from ragkit.config import Settings
from ragkit.errors import ConfigError
from ragkit.models import Catalogue
from ragkit.nouns import Usage
from ragkit.providers.sdk import import_sdk, require_key

MAX_OUTPUT = 1024


@dataclass(frozen=True, slots=True)
class Sale:
    """What was said, and what it cost."""

    text: str
    usage: Usage
    cost_pico: int

    @property
    def tokens(self) -> dict[str, int]:
        return {field.name: count for field in fields(self.usage) if (count := getattr(self.usage, field.name))}


class Seller:
    """Anthropic's Messages by the official SDK, without schema, cache or route: what a plain pipeline sends."""

    def __init__(self, client: Any, model: str, catalogue: Catalogue) -> None:
        self._client = client
        self._catalogue = catalogue
        self.model = model

    @classmethod
    def of(cls, settings: Settings) -> Seller:
        provider, _, model = settings.answer.model.partition("/")
        if provider != "anthropic":
            raise ConfigError('frameworks are compared on one model: set [answer] model to "anthropic/..."')
        own = settings.providers.anthropic
        key = require_key(own.api_key.get_secret_value() if own.api_key else None, "anthropic", "ANTHROPIC_API_KEY")
        sdk = import_sdk("anthropic", "anthropic", "Anthropic")
        client = sdk.AsyncAnthropic(api_key=key, base_url=own.base_url, max_retries=0, open_telemetry=False)
        return cls(client, model, Catalogue.of(settings.prices.file))

    async def complete(self, prompt: str, question: str) -> Sale:
        """The prompt goes out as it is, in two blocks: up to the place where the question is asked, and from there."""
        head, mark, tail = prompt.rpartition(question)
        cut = head.rfind("\n") + 1
        texts = [head[:cut], head[cut:] + mark + tail]
        said = await self._client.messages.create(
            model=self.model,
            max_tokens=MAX_OUTPUT,
            messages=[{"role": "user", "content": [{"type": "text", "text": text} for text in texts if text.strip()]}],
        )
        usage = Usage(input=said.usage.input_tokens, output=said.usage.output_tokens)
        text = "".join(block.text for block in said.content if block.type == "text")
        return Sale(text, usage, self._catalogue.cost(usage, self.model, at=datetime.now(UTC)).pico)

    async def aclose(self) -> None:
        await self._client.close()
