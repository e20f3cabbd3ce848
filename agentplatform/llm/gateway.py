"""The one door to models. The order of its layers is written here and nowhere else.

A layer is a Model around a Model: journal (replay what has been paid for), then retries (of what passes within
seconds), then metering (write the call down, price it, settle it), then the provider.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agentplatform.execution.retry import Failure, RetryPolicy, retry_delay_seconds
from agentplatform.identifiers import uuid7
from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.pricing import PRICE_VERSION, cost_usd_micros
from agentplatform.llm.tiers import Tier


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """Which model of which provider serves a tier."""

    provider: str
    model: str


DEFAULT_TIERS: Mapping[Tier, ProviderModel] = {
    Tier.FAST: ProviderModel("anthropic", "claude-haiku-5-5"),
    Tier.BALANCED: ProviderModel("anthropic", "claude-sonnet-5-5"),
    Tier.POWERFUL: ProviderModel("anthropic", "claude-opus-5-5"),
}


BLIPS = RetryPolicy(max_attempts=3, base_backoff_seconds=0.5, max_backoff_seconds=4.0)
"""How a call is tried again within its step. What takes longer than this cap is waited for by the step, slotless."""

_NO_BLIPS = frozenset({"timeout"})
"""Codes of failures that have taken so long already that the step's own retry is the place for them."""


class Gateway:
    """Hands out, for each attempt of a step, a model that is journaled, tried again, metered and paid for."""

    def __init__(
        self,
        providers: Mapping[str, Model],
        tiers: Mapping[Tier, ProviderModel] = DEFAULT_TIERS,
        *,
        blips: RetryPolicy = BLIPS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._providers = providers
        self._tiers = tiers
        self._blips = blips
        self._jitter = jitter

    def for_step(self, journal: StepJournal) -> Model:
        """The layers around the providers, for one attempt of a step."""
        retried = _Retried(_Metered(self._providers, journal), self._blips, self._jitter)
        return _Journaled(retried, self._tiers, journal)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A request that has its place in the journal and its model."""

    request: ModelRequest
    call: StartedCall


class _Journaled:
    """Replays a call that an earlier attempt of the step has settled."""

    def __init__(self, inner: _Retried, tiers: Mapping[Tier, ProviderModel], journal: StepJournal) -> None:
        self._inner = inner
        self._tiers = tiers
        self._journal = journal

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        ordinal = self._journal.next_ordinal()
        request_hash = request.content_hash
        replayed = self._journal.replay(ordinal, request_hash)
        if replayed is not None:
            return replayed
        target = self._tiers[request.tier]
        call = StartedCall(
            step=self._journal.step,
            ordinal=ordinal,
            request_hash=request_hash,
            tier=request.tier.value,
            provider=target.provider,
            model=target.model,
            worst_case_usd_micros=_worst_case_usd_micros(request, target),
        )
        return self._inner.complete(_Planned(request, call), context)


class _Retried:
    """Tries a call again whose provider had a blip; each try is a call of its own, and paid for as such."""

    def __init__(self, inner: _Metered, policy: RetryPolicy, jitter: Callable[[], float]) -> None:
        self._inner = inner
        self._policy = policy
        self._jitter = jitter

    def complete(self, planned: _Planned, context: CallContext) -> ModelResponse:
        attempt = 1
        while True:
            try:
                return self._inner.complete(planned, context)
            except ModelError as error:
                delay = self._delay_seconds(error, attempt, context)
                if delay is None or not context.pause(delay):
                    raise
            attempt += 1
            planned = replace(planned, call=replace(planned.call, call_id=uuid7()))

    def _delay_seconds(self, error: ModelError, attempt: int, context: CallContext) -> float | None:
        """Seconds until the next try; None where there is none: the failure is then the step's to deal with."""
        if isinstance(error, Interrupted) or error.code in _NO_BLIPS:
            return None
        if (error.retry_after_seconds or 0.0) > self._policy.max_backoff_seconds:
            return None
        return retry_delay_seconds(
            self._policy,
            Failure(error.code, error.message, error.transient, error.retry_after_seconds),
            attempt=attempt,
            seconds_left=context.deadline.seconds_left,
            jitter=self._jitter(),
        )


class _Metered:
    """Writes every call down before it is made, and what it cost when it has ended, however it ended."""

    def __init__(self, providers: Mapping[str, Model], journal: StepJournal) -> None:
        self._providers = providers
        self._journal = journal

    def complete(self, planned: _Planned, context: CallContext) -> ModelResponse:
        call = planned.call
        if context.deadline.has_passed or context.is_interrupted:
            raise Interrupted("deadline_exceeded", "No time was left for the call.", transient=True)
        context.model = call.model
        self._journal.start(call)
        try:
            response = self._providers[call.provider].complete(planned.request, context)
        except ModelError as error:
            self._journal.settle(_failed(call, error))
            raise
        self._journal.settle(_settled(call, response))
        return response


def _worst_case_usd_micros(request: ModelRequest, target: ProviderModel) -> int:
    """The most that the call can cost; raises UnknownPrice for what cannot be priced, before it is made."""
    usage = Usage(input_tokens=request.input_bound_tokens, output_tokens=request.max_tokens)
    return cost_usd_micros(target.model, usage, provider=target.provider)


def _settled(call: StartedCall, response: ModelResponse) -> Settlement:
    return Settlement(
        call=call,
        status="settled",
        usage=response.usage,
        cost_usd_micros=cost_usd_micros(call.model, response.usage, provider=call.provider),
        price_version=PRICE_VERSION,
        model=response.model,
        provider_request_id=response.request_id,
        response=response,
    )


def _failed(call: StartedCall, error: ModelError) -> Settlement:
    usage = error.usage or Usage()
    return Settlement(
        call=call,
        status="failed",
        usage=usage,
        cost_usd_micros=cost_usd_micros(call.model, usage, provider=call.provider),
        price_version=PRICE_VERSION,
        model=call.model,
        provider_request_id=error.request_id,
        error_code=error.code,
        estimated=error.usage is not None,
    )
