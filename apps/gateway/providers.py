"""The clients of providers: one per process, made anew when an operator changes how a provider is reached.

The SDK takes a second to load, and only workers and maintenance call providers: others load it when they have to.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

from agentplatform.llm.catalogue import ProviderSettings
from apps.gateway.selectors import provider_settings

if TYPE_CHECKING:
    from agentplatform.llm.providers.anthropic import AnthropicModel

_lock = threading.Lock()
_clients: dict[str, tuple[ProviderSettings, AnthropicModel]] = {}


def provider(name: str) -> AnthropicModel:
    """The client of a provider. Raises ModelError where it is not configured."""
    settings = provider_settings(name)
    known = _clients.get(name)
    if known is not None and known[0] == settings:
        return known[1]
    with _lock:
        known = _clients.get(name)
        if known is None or known[0] != settings:
            # Calls in flight keep the client that they began with.
            known = settings, client(settings)
            _clients[name] = known
    return known[1]


def client(settings: ProviderSettings) -> AnthropicModel:
    """A client that is nobody else's."""
    from agentplatform.llm.providers.anthropic import AnthropicModel
    from agentplatform.llm.providers.clients import client_of

    return AnthropicModel(client_of(settings), provider=settings.name)


def load_sdk() -> None:
    """Loads the SDK now, so that no call waits for it."""
    importlib.import_module("agentplatform.llm.providers.anthropic")
