"""The layer that never pays twice: kept answers first, then those that are being bought, then the models."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentplatform.budgets.thresholds import Level
from agentplatform.embedding.vectors import MODEL_NAME, Vector
from agentplatform.llm.batching import BATCH_QUEUE
from agentplatform.llm.caching.answers import AnswerStore, KeptAnswer, Layer, Turn
from agentplatform.llm.caching.keys import CacheKey, cache_key
from agentplatform.llm.caching.likeness import Verifier, likest
from agentplatform.llm.caching.policy import Caching
from agentplatform.llm.caching.serving import Hit, hit_settlement, label_hit, replay_text
from agentplatform.llm.caching.verifying import FLOOR_THRESHOLD
from agentplatform.llm.errors import CallDeferred, CostLimitReached, Interrupted
from agentplatform.llm.escalation import flaw_of
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallPlace
from agentplatform.llm.routed import Routed

BRIEF_SECONDS = 30.0
"""For so long an answer is shared that is not as it should be: with those who ask while it is made, or right after."""

FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.02, 0.25
PATIENT_POLLS = 5
"""So often in a row one who waits may find the store silent."""
IN_BATCH_POLL_SECONDS = 15.0
MAX_IN_BATCH_SECONDS = 3_600.0


@dataclass(slots=True)
class _Asked:
    """One request on its way through the layer. `vector` is its question's, once it is known."""

    request: ModelRequest
    context: CallContext
    place: CallPlace
    key: CacheKey
    token: str
    vector: Vector | None = None


class Cached:
    """Serves what is kept, waits for what another is buying, and keeps what it has bought itself.

    What was served is settled as a call of its own, at no cost: later attempts of the step replay it.
    """

    def __init__(
        self,
        inner: Routed,
        store: AnswerStore,
        journal: StepJournal,
        verifier: Callable[[], Verifier],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._inner = inner
        self._store = store
        self._journal = journal
        self._verifier = verifier
        self._chance = chance

    def complete(self, request: ModelRequest, context: CallContext, place: CallPlace) -> ModelResponse:
        """Raises what the inner layers raise; where there is no budget for a call, an answer that is too old will do."""
        if not _may_be_kept(request, context):
            return self._inner.complete(request, context, place)
        asked = self._asked(request, context, place)
        hit = self._find(asked) if context.cache_control.may_serve else None
        return self._buy(asked) if hit is None else self._serve(asked, hit)

    def remember_batch(
        self,
        request: ModelRequest,
        context: CallContext,
        place: CallPlace,
        response: ModelResponse,
        call: Mapping[str, Any],
    ) -> None:
        """Keeps an answer that came with a batch: it was settled while nobody was here."""
        if not _may_be_kept(request, context) or not _is_lasting(request, response, context.degradations):
            return
        asked = self._asked(request, context, place)
        answer = self._answer(response, call["cost_usd_micros"])
        self._store.put(asked.key, asked.token, answer, request.cache.ttl_seconds)
        self._store.keep(asked.key, answer, call["call_id"], self._kept_document(asked, answer))

    def _asked(self, request: ModelRequest, context: CallContext, place: CallPlace) -> _Asked:
        step = self._journal.step
        key = cache_key(request, request.cache, step.tenant_id, step.agent, context.max_tier)
        return _Asked(request, context, place, key, f"{step.step_id}:{time.monotonic_ns():x}")

    def _find(self, asked: _Asked) -> Hit | None:
        """What may be served; None where it is to be bought, by us."""
        found, has_waited = self._wait_for_turn(asked)
        if isinstance(found, KeptAnswer):
            return Hit(found, Layer.IN_FLIGHT if has_waited else Layer.EXACT)
        if found is Turn.IN_BATCH:
            self._follow_batch(asked.context)
            return None
        hit = self._recalled(asked) or self._by_meaning(asked)
        if hit is not None and hit.layer is Layer.SEMANTIC:
            self._store.give_up(asked.key, asked.token)
        return hit

    def _wait_for_turn(self, asked: _Asked) -> tuple[KeptAnswer | Turn, bool]:
        poll_seconds, unknown = 0.0, 0
        while True:
            found = self._store.look(asked.key, asked.token)
            # Another was at it a moment ago: a store that does not answer at once is no reason to buy the same.
            unknown = unknown + 1 if found is Turn.UNKNOWN and poll_seconds else 0
            if found is not Turn.OTHERS and not 0 < unknown <= PATIENT_POLLS:
                return found, poll_seconds > 0
            poll_seconds = min(LAST_POLL_SECONDS, poll_seconds * 1.5 or FIRST_POLL_SECONDS)
            if not asked.context.pause(poll_seconds):
                raise Interrupted(
                    "deadline_exceeded",
                    "No time was left to wait for the same call of another step.",
                    transient=True,
                )

    def _follow_batch(self, context: CallContext) -> None:
        """Raises CallDeferred where the step may wait for the batch that has the same call."""
        if not context.tolerates_delay or context.queue != BATCH_QUEUE:
            return
        raise CallDeferred(
            "same_call_in_batch",
            "The same model call goes with a batch already; the step goes on by itself when it is answered.",
            waiting_for="provider_batch",
            seconds=IN_BATCH_POLL_SECONDS,
        )

    def _recalled(self, asked: _Asked, *, stale: bool = False) -> Hit | None:
        answer = self._store.recall(asked.key, stale=stale)
        if answer is None:
            return None
        if not answer.is_stale:
            self._store.put(asked.key, asked.token, answer, BRIEF_SECONDS)
        return Hit(answer, Layer.EXACT)

    def _by_meaning(self, asked: _Asked, *, stale: bool = False) -> Hit | None:
        """The answer to a question that means the same; down to the floor where budgets are strained, and said then."""
        if not asked.key.subject:
            return None
        trust = self._store.trust(asked.key)
        if not trust.is_enabled:
            return None
        asked.vector = asked.vector or self._store.vector_of(asked.key.subject, asked.key.tenant_id)
        if asked.vector is None:
            return None
        is_strained = stale or asked.context.restraint.level >= Level.DEGRADE
        least = min(trust.threshold, FLOOR_THRESHOLD) if is_strained else trust.threshold
        candidates = self._store.near(asked.key, asked.vector, stale=stale)
        found = likest(asked.key.subject, candidates, self._verifier(), least)
        if found is None:
            return None
        is_checked = self._chance() < trust.checked_share
        return Hit(found.answer, Layer.SEMANTIC, found, found.probability < trust.threshold, is_checked)

    def _serve(self, asked: _Asked, hit: Hit) -> ModelResponse:
        label_hit(asked.context, hit)
        settlement = hit_settlement(self._journal.step, asked.place, asked.key, asked.request, hit)
        self._journal.settle(settlement)
        assert settlement.response is not None
        replay_text(asked.context, settlement.response.text)
        return settlement.response

    def _buy(self, asked: _Asked) -> ModelResponse:
        context = asked.context
        told_before = len(context.degradations)
        try:
            response = self._inner.complete(asked.request, context, asked.place)
        except BaseException as error:
            self._store.give_up(asked.key, asked.token, batch_seconds=_seconds_in_batch(error))
            hit = self._without_budget(asked) if _lacks_budget(error) else None
            if hit is None:
                raise
            return self._serve(asked, hit)
        self._share(asked, response, tuple(context.degradations[told_before:]))
        return response

    def _without_budget(self, asked: _Asked) -> Hit | None:
        """What may be served rather than nothing: answers that have expired, and such as are less alike."""
        if not asked.context.cache_control.may_serve:
            return None
        return self._recalled(asked, stale=True) or self._by_meaning(asked, stale=True)

    def _share(
        self, asked: _Asked, response: ModelResponse, degradations: tuple[Mapping[str, str], ...]
    ) -> None:
        """Gives the answer to those who wait for it, and keeps it if it is as it should be."""
        pending = self._journal.pending
        settlement = pending[-1] if pending and pending[-1].response is response else None
        worth = settlement.cost_usd_micros + settlement.avoided_usd_micros if settlement is not None else 0
        answer = replace(self._answer(response, worth), degradations=degradations)
        is_lasting = _is_lasting(asked.request, response, degradations)
        seconds = asked.request.cache.ttl_seconds if is_lasting else BRIEF_SECONDS
        self._store.put(asked.key, asked.token, answer, seconds)
        if is_lasting and settlement is not None:
            pending[-1] = replace(settlement, keep=self._kept_document(asked, answer))

    def _answer(self, response: ModelResponse, worth_usd_micros: int) -> KeptAnswer:
        return KeptAnswer(response, worth_usd_micros, self._journal.step.workflow_id, time.time())

    def _kept_document(self, asked: _Asked, answer: KeptAnswer) -> dict[str, Any]:
        """What `gateway_keep_answer` stores beside the answer itself."""
        key = asked.key
        if key.subject and asked.vector is None:
            asked.vector = self._store.vector_of(key.subject, key.tenant_id)
        return {
            "entry_id": str(answer.entry_id),
            "use_case": key.use_case,
            "scope_hash": key.scope_hash,
            "key_hash": key.key_hash,
            "subject": key.subject,
            "worth_usd_micros": answer.worth_usd_micros,
            "ttl_seconds": asked.request.cache.ttl_seconds,
            "vector": None if asked.vector is None else str(asked.vector),
            "vector_model": MODEL_NAME,
        }


def _may_be_kept(request: ModelRequest, context: CallContext) -> bool:
    """Whether its step and its submission allow that anything is kept of it."""
    return request.cache.caching is not Caching.NONE and context.cache_control.may_keep


def _is_lasting(
    request: ModelRequest, response: ModelResponse, degradations: Sequence[Mapping[str, str]]
) -> bool:
    """Whether the answer is as it should be, and may serve for as long as its step says."""
    return not (degradations or flaw_of(request, response) or response.stop_reason == "max_tokens")


def _lacks_budget(error: BaseException) -> bool:
    return isinstance(error, CostLimitReached) or (
        isinstance(error, CallDeferred) and error.waiting_for == "budget"
    )


def _seconds_in_batch(error: BaseException) -> float | None:
    """For how long at most a batch has the call; None where none has it."""
    if isinstance(error, CallDeferred) and error.waiting_for == "provider_batch":
        return min(error.seconds, MAX_IN_BATCH_SECONDS)
    return None
