"""Replays what has been paid for."""

from __future__ import annotations

from agentplatform.llm.caching.cached import Cached
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallPlace
from agentplatform.llm.routed import Routed


class Journaled:
    """Gives each call its place in the step, and replays one that an earlier attempt has settled.

    It comes before routing: what a call was sent to is no part of what was asked.
    """

    def __init__(self, inner: Routed | Cached, journal: StepJournal) -> None:
        self._inner = inner
        self._journal = journal

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        ordinal = self._journal.next_ordinal()
        request_hash = request.content_hash
        place = CallPlace(self._journal.step.tenant_id, ordinal, request_hash)
        replayed = self._journal.replay(ordinal, request_hash)
        if replayed is not None:
            batched = self._journal.batched(ordinal, request_hash)
            if batched is not None and isinstance(self._inner, Cached):
                self._inner.remember_batch(request, context, place, replayed, batched)
            return replayed
        return self._inner.complete(request, context, place)
