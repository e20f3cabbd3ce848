"""Whether a provider answers, asked by an operator."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.errors import ModelError
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.model import CallContext
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.providers.clients import client_of
from apps.database import release_connection
from apps.gateway.models import ModelTier, Provider, TierProvider
from apps.gateway.selectors import settings_of

CHECK_SECONDS = 15.0

_REQUEST = ModelRequest(tier=None, messages=({"role": "user", "content": "Hello"},), max_tokens=1)


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """What came of asking a provider, in words for an operator."""

    answered: bool
    message: str
    took_seconds: float


def provider_check(provider: Provider) -> ProviderCheck:
    """Has the provider count the tokens of a word, which is free; where it does not count, asks it for one token.

    The call is made with the settings as they are stored now, outside of journal, rates and circuits.
    """
    model = _model_of(provider)
    began = time.monotonic()
    try:
        message = _ask(provider, model)
    except ModelError as error:
        return ProviderCheck(False, f"{error.code}: {error.message}", time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 - whatever a client says to settings that make no sense
        return ProviderCheck(
            False,
            f"It cannot be called with these settings ({type(error).__name__}).",
            time.monotonic() - began,
        )
    return ProviderCheck(True, message, time.monotonic() - began)


def _ask(provider: Provider, model: str) -> str:
    settings = settings_of(provider)
    release_connection()
    context = CallContext(Deadline.after(CHECK_SECONDS), model=model)
    with client_of(settings) as client:
        asked = AnthropicModel(client, provider=provider.name)
        counted = asked.count_tokens(_REQUEST, model, context)
        if counted is not None:
            return f"It counted {counted} tokens for {model}."
        response = asked.complete(_REQUEST, context)
        return f"{response.model} answered {response.usage.output_tokens} token, after {response.usage.input_tokens}."


def _model_of(provider: Provider) -> str:
    """A model that the provider serves, the cheapest; that of the lowest tier if it serves none yet."""
    served = TierProvider.objects.filter(provider=provider).select_related("tier")
    target = served.order_by("tier__max_complexity").first()
    if target is not None:
        return target.model_name or target.tier.model
    lowest = ModelTier.objects.order_by("max_complexity").first()
    return lowest.model if lowest is not None else ""
