"""Names of providers and where their adapters are made: imported on use, for an SDK takes a second to load."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING

from ragkit.errors import ConfigError
from ragkit.provider import Provider
from ragkit.settings import ProvidersSettings

if TYPE_CHECKING:
    import httpx2

Factory = Callable[[ProvidersSettings, "httpx2.AsyncClient | None"], Provider]

GROUP = "ragkit.providers"
"""Entry points of other packages: a name, and a function as in `Factory`."""

PROVIDERS = {
    "anthropic": "ragkit.providers.anthropic:Anthropic.configured",
    "extractive": "ragkit.providers.registry:extractive",
    "gateway": "ragkit.providers.gateway:configured",
    "gemini": "ragkit.providers.gemini:Gemini.configured",
    "openai": "ragkit.providers.openai_responses:OpenAIResponses.configured",
    "openai-chat": "ragkit.providers.openai_chat:OpenAIChat.configured",
    "vllm": "ragkit.providers.vllm:configured",
}


def open_provider(name: str, settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> Provider:
    """The provider's adapter; `http` replaces the SDK's own client.

    Raises `ConfigError` for a name that nobody knows and for a missing key, `MissingExtra` for a missing package.
    """
    if name in PROVIDERS:
        module, _, path = PROVIDERS[name].partition(":")
        factory: Factory = attrgetter(path)(import_module(module))
        return factory(settings, http)
    from importlib.metadata import entry_points  # 0.1 s that nobody pays who asks for none of them

    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise ConfigError(_unknown(name, (*PROVIDERS, *found)))
    loaded: Factory = found[name].load()
    return loaded(settings, http)


def _unknown(name: str, valid: tuple[str, ...]) -> str:
    close = get_close_matches(name, valid, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(sorted(valid))}"
    return f"no provider is called '{name}': {hint}"


def extractive(settings: ProvidersSettings, http: httpx2.AsyncClient | None = None) -> Provider:
    """It needs no settings and no network."""
    from ragkit.providers.extractive import ExtractiveProvider

    return ExtractiveProvider()
