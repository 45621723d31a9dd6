"""Decisions endpoints, one file per system, imported on use."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ragkit.decide import Decider
from ragkit.errors import ConfigError
from ragkit.settings import ProvidersSettings

DECIDERS = ("gemini", "openai", "vllm")
"""Providers with such an endpoint, each a module with a function `configured`."""


def check_decider(provider: str) -> None:
    """Raises `ConfigError` for a provider without the endpoint."""
    if provider not in DECIDERS:
        raise ConfigError(f"{provider} has no decisions endpoint here: {', '.join(DECIDERS)} have")


def open_decider(provider: str, settings: ProvidersSettings) -> Decider:
    """The provider's adapter. Raises `ConfigError` for a provider without the endpoint or without a key."""
    check_decider(provider)
    configured: Callable[[ProvidersSettings], Decider] = import_module(f"ragkit.deciders.{provider}").configured
    return configured(settings)
