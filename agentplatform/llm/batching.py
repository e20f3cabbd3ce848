"""The batch lane: a call that tolerates delay goes along with a batch, at half the price, and its step waits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Protocol

from agentplatform.llm.catalogue import Target, TierSettings
from agentplatform.llm.errors import CallDeferred
from agentplatform.llm.journal import StartedCall, StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.metering import started_call
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallLayer, PlannedCall
from agentplatform.llm.prompt_caching import cache_ttl, prefix_hash

BATCH_QUEUE = "batch"
"""The queue whose steps may wait for a batch."""


@dataclass(frozen=True, slots=True)
class BatchedCall:
    """A call that was left to a batch: still open, or ended. `response` is its answer, if it ended with one."""

    is_open: bool
    response: ModelResponse | None = None


class BatchLane(Protocol):
    """Where calls are left to go with a batch. A place in a step (its ordinal) is left to one once, and never again."""

    def leave(self, call: StartedCall, request: ModelRequest, target: Target) -> BatchedCall:
        """Writes the call down, to go with a batch; or says what became of the one that was left at its place before.

        Raises BudgetShort when it must not be made.
        """

    def find(
        self, step_id: uuid.UUID, ordinal: int, request_hash: str, *, withdraw: bool
    ) -> BatchedCall | None:
        """What became of the call at this place; None if none was left there.

        One for another request is withdrawn, and with `withdraw` this one too: it is not waited for any longer. If
        the provider has billed it by then, it is settled all the same, once.
        """


class Batched:
    """Leaves to batches what may wait, and raises CallDeferred; what may not, or has been there, goes on.

    The journal replays what a batch has answered, so the attempt after the wait buys nothing again.
    """

    def __init__(self, inner: CallLayer, lane: BatchLane, journal: StepJournal) -> None:
        self._inner = inner
        self._lane = lane
        self._journal = journal

    def complete(self, planned: PlannedCall, context: CallContext) -> ModelResponse:
        """Raises CallDeferred while a batch has the call, until shortly before its workflow's deadline."""
        if not context.tolerates_delay or context.queue != BATCH_QUEUE or context.workflow_deadline is None:
            return self._inner.complete(planned, context)
        seconds = context.workflow_deadline.seconds_left - planned.catalogue.batch_min_seconds
        left = self._left_before(planned, withdraw=seconds <= 0)
        if left is None and seconds > 0:
            left = self._leave(planned)
        if left is None or (left.response is None and not left.is_open):
            return self._inner.complete(planned, context)
        if left.response is not None:
            return left.response
        raise CallDeferred(
            "left_to_batch",
            "Its model call goes with a batch, at half the price; the step goes on by itself when it is answered.",
            waiting_for="provider_batch",
            seconds=seconds,
        )

    def _left_before(self, planned: PlannedCall, *, withdraw: bool) -> BatchedCall | None:
        step = self._journal.step
        if step.attempt == 1:
            return None
        place = planned.place
        return self._lane.find(step.step_id, place.ordinal, place.request_hash, withdraw=withdraw)

    def _leave(self, planned: PlannedCall) -> BatchedCall | None:
        """None where no provider of the tier takes batches. Raises BudgetShort, UnknownPrice."""
        target = batch_target(planned.settings)
        if target is None:
            return None
        request = planned.request
        prefix = prefix_hash(request, planned.settings.min_cache_tokens)
        ttl = cache_ttl(request, prefix=prefix, seen_seconds_ago=None, queue=BATCH_QUEUE)
        planned = replace(planned, request=replace(request, prompt_cache_ttl=ttl))
        prices = planned.catalogue.price_list(target, batch=True)
        call = started_call(planned, target, self._journal, prices, lane="batch")
        self._journal.flush()
        return self._lane.leave(call, planned.request, target)


def batch_target(settings: TierSettings) -> Target | None:
    """The first provider of a tier that takes batches."""
    return next((target for target in settings.targets if target.takes_batches), None)
