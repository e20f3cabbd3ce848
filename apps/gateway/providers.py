"""The clients of providers: one per process, made anew when an operator changes how a provider is reached."""

from __future__ import annotations

import threading

from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.providers.clients import ProviderSettings, client_of
from apps.gateway.selectors import provider_settings

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
            known = settings, AnthropicModel(client_of(settings), provider=name)
            _clients[name] = known
    return known[1]
