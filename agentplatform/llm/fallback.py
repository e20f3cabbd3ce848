"""Sends a call to the first provider that may be called and answers; waits for what passes soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from agentplatform.execution.retry import Failure, RetryPolicy, retry_delay_seconds
from agentplatform.llm.catalogue import Target
from agentplatform.llm.errors import CallDeferred, Interrupted, ModelError
from agentplatform.llm.gate import CallReport, Demand, Passage, ProviderGate
from agentplatform.llm.messages import ModelResponse
from agentplatform.llm.metering import Metered
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import PlannedCall
from agentplatform.llm.prompt_caching import cache_ttl, prefix_hash

BLIPS = RetryPolicy(max_attempts=3, base_backoff_seconds=0.5, max_backoff_seconds=4.0)
"""How a call is tried again within its step. What takes longer than this cap is waited for by the step, slotless."""

SHORT_WAIT_SECONDS = 2.0
"""What is waited for in the slot, in sum; what takes longer is waited for without one."""

_NO_BLIPS = frozenset({"timeout"})
"""Codes of failures that have taken so long already that the step's own retry is the place for them."""

_ELSEWHERE = frozenset(
    {
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "rate_limit_error",
        "ramp_limit_exceeded",
        "provider_not_configured",
    }
)
"""Codes of failures that say nothing of the request: another provider may well serve it."""

_WAITING_FOR = {"rate_limited": "rate", "circuit_open": "timer"}


class Fallback:
    """Tries the targets of a call's tier in their order, then all of them again after a pause.

    Each try is a call of its own, written down and paid for as such. When no target may be called within
    SHORT_WAIT_SECONDS, raises CallDeferred.
    """

    def __init__(
        self, inner: Metered, gate: ProviderGate, blips: RetryPolicy, jitter: Callable[[], float]
    ) -> None:
        self._inner = inner
        self._gate = gate
        self._blips = blips
        self._jitter = jitter

    def complete(self, planned: PlannedCall, context: CallContext) -> ModelResponse:
        attempt = 1
        while True:
            try:
                return self._round(planned, context)
            except CallDeferred:
                raise
            except ModelError as error:
                delay = self._delay_seconds(error, attempt, context)
                if delay is None or not context.pause(delay):
                    raise
            attempt += 1

    def _round(self, planned: PlannedCall, context: CallContext) -> ModelResponse:
        """Tries every target that may be called, once. Raises what the last of them raised."""
        demand = _demand(planned)
        left: tuple[Target, ...] = planned.settings.targets
        last: ModelError | None = None
        while left:
            passage = self._passage(left, demand, context, may_wait=last is None)
            if passage is None:
                break
            try:
                return self._call(planned, passage, context)
            except ModelError as error:
                if isinstance(error, Interrupted) or not (error.is_providers or error.code in _ELSEWHERE):
                    raise
                last = error
            left = tuple(target for target in left if target is not passage.target)
        assert last is not None
        raise last

    def _passage(
        self, targets: Sequence[Target], demand: Demand, context: CallContext, *, may_wait: bool
    ) -> Passage | None:
        """The way to the first target that is free; None if there is none and another one has failed already."""
        waited = 0.0
        while True:
            entered = self._gate.enter(targets, demand)
            if isinstance(entered, Passage):
                return entered
            if not may_wait:
                return None
            wait = max(0.01, entered.wait_seconds)
            if waited + wait > SHORT_WAIT_SECONDS:
                raise _deferred(entered.code, wait)
            waited += wait
            if not context.pause(wait):
                raise Interrupted("deadline_exceeded", "No time was left for the call.", transient=True)

    def _call(self, planned: PlannedCall, passage: Passage, context: CallContext) -> ModelResponse:
        ttl = cache_ttl(
            planned.request,
            prefix=passage.demand.prefix_hash,
            seen_seconds_ago=passage.prefix_seen_seconds_ago,
            queue=context.queue,
        )
        request = replace(planned.request, prompt_cache_ttl=ttl) if ttl else planned.request
        report = CallReport()
        context.rates = context.sent_at = None
        entered_at = time.monotonic()
        try:
            response = self._inner.complete(replace(planned, request=request, target=passage.target), context)
            report.usage = response.usage
            return response
        except ModelError as error:
            context.restart_text()
            report.error = error
            report.usage = error.usage or report.usage
            raise
        finally:
            report.rates = context.rates
            report.late_seconds = (context.sent_at or entered_at) - entered_at
            report.was_answered = context.sent_at is not None and not isinstance(report.error, Interrupted)
            self._gate.leave(passage, report)

    def _delay_seconds(self, error: ModelError, attempt: int, context: CallContext) -> float | None:
        """Seconds until the next round; None where there is none: the failure is then the step's to deal with."""
        if isinstance(error, Interrupted) or error.code in _NO_BLIPS or error.unavailable_seconds:
            return None
        if (error.retry_after_seconds or 0.0) > self._blips.max_backoff_seconds:
            return None
        return retry_delay_seconds(
            self._blips,
            Failure(error.code, error.message, error.transient, error.retry_after_seconds),
            attempt=attempt,
            seconds_left=context.deadline.seconds_left,
            jitter=self._jitter(),
        )


def _demand(planned: PlannedCall) -> Demand:
    request = planned.request
    return Demand(
        tenant_id=planned.place.tenant_id,
        input_tokens=request.input_estimate_tokens,
        output_tokens=request.max_tokens,
        prefix_hash=prefix_hash(request, planned.settings.min_cache_tokens),
    )


def _deferred(code: str, wait_seconds: float) -> CallDeferred:
    if code == "rate_limited":
        message = "The provider's rate is used up; the step goes on by itself when there is room."
    else:
        message = "Every provider of this tier fails at the moment; the step goes on by itself when one may be tried."
    return CallDeferred(code, message, waiting_for=_WAITING_FOR[code], seconds=wait_seconds)
