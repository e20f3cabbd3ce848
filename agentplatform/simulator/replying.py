"""From a checked request to its reply, right or wrong as the provider's quality has it."""

from agentplatform.simulator.answering import draft_answer
from agentplatform.simulator.provider import Provider
from agentplatform.simulator.quality import answers_rightly, spoil
from agentplatform.simulator.reply import Draft, Reply, finish_reply
from agentplatform.simulator.request import MessagesRequest


def draft_reply(provider: Provider, request: MessagesRequest) -> tuple[Draft, bool | None]:
    """Return what is answered and whether it is right; None where the provider has no quality set."""
    draft = draft_answer(request)
    quality = provider.settings.quality
    if quality is None:
        return draft, None
    rightly = answers_rightly(quality, request)
    provider.answers[request.model.id, rightly] += 1
    return (draft if rightly else spoil(draft, quality, request)), rightly


def make_reply(
    provider: Provider, key: str, request: MessagesRequest, *, service_tier: str = "standard"
) -> Reply:
    """Return the whole reply at once, with what it read from the prompt cache and wrote to it."""
    draft, _ = draft_reply(provider, request)
    cached = provider.prefix_cache.look_up(key, request)
    provider.prefix_cache.commit(key, request)
    return finish_reply(request, draft, cached=cached, service_tier=service_tier)
