"""The one door to models. The order of its layers is written here and nowhere else.

A layer is a Model around a Model: decomposition (take apart what no window takes), escalation (ask the next tier
where an answer is not good enough), journal (replay what has been paid for), cache (give again what is kept, by the same
words or the same meaning; wait for what another is buying), routing (choose the tier), governing (fit the call
into its budgets), batching (leave to a batch what may wait), fallback (choose the provider: circuits, rates, what passes soon), metering (reserve
for the call and write it down, price it, settle it), then the provider.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from agentplatform.execution.retry import RetryPolicy
from agentplatform.llm.batching import Batched, BatchLane
from agentplatform.llm.caching.answers import AnswerStore
from agentplatform.llm.caching.cached import Cached
from agentplatform.llm.caching.likeness import Verifier
from agentplatform.llm.catalogue import Catalogue, Target
from agentplatform.llm.decomposition import Decomposed
from agentplatform.llm.escalation import Escalated
from agentplatform.llm.fallback import BLIPS, Fallback
from agentplatform.llm.gate import ProviderGate
from agentplatform.llm.governing import Governed
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.journaling import Journaled
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.metering import Metered
from agentplatform.llm.model import CallContext, Model, Provider
from agentplatform.llm.planning import CallLayer
from agentplatform.llm.routed import Routed, Scorer


class Gateway:
    """Hands out, for each attempt of a step, a model that is routed, journaled, tried again, metered and paid for.

    `catalogue` and `providers` are asked anew for each attempt, so that what an operator changes holds soon. Without a
    `batch_lane` every call is made at once, without `answers` none is kept.
    """

    def __init__(
        self,
        *,
        catalogue: Callable[[], Catalogue],
        providers: Callable[[str], Provider],
        gate: ProviderGate,
        score: Scorer,
        batch_lane: BatchLane | None = None,
        answers: AnswerStore | None = None,
        verifier: Callable[[], Verifier] | None = None,
        blips: RetryPolicy = BLIPS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._gate = gate
        self._score = score
        self._batch_lane = batch_lane
        self._answers = answers
        self._verifier = verifier
        self._blips = blips
        self._jitter = jitter

    def catalogue(self) -> Catalogue:
        """The tiers that calls may be sent to now."""
        return self._catalogue()

    def for_step(self, journal: StepJournal) -> Model:
        """The layers around the providers, for one attempt of a step."""
        metered = Metered(self._providers, journal)
        called: CallLayer = Fallback(metered, self._gate, self._blips, self._jitter)
        if self._batch_lane is not None:
            called = Batched(called, self._batch_lane, journal)
        routed = Routed(Governed(called), self._catalogue(), self._score, self._count_tokens)
        if self._answers is None or self._verifier is None:
            return Decomposed(Escalated(Journaled(routed, journal)))
        cached = Cached(routed, self._answers, journal, self._verifier)
        return Decomposed(Escalated(Journaled(cached, journal)))

    def _count_tokens(self, target: Target, request: ModelRequest, context: CallContext) -> int | None:
        return self._providers(target.provider).count_tokens(request, target.model_name, context)
