"""Writes every call down before it is made, and what it cost when it has ended, however it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from agentplatform.llm.catalogue import Target
from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.llm.messages import ModelResponse, Usage
from agentplatform.llm.model import CallContext, Provider
from agentplatform.llm.planning import PlannedCall
from agentplatform.llm.pricing import PriceList

Providers = Callable[[str], Provider]
"""The client of a provider, by its name."""


class Metered:
    """The last layer before the provider."""

    def __init__(self, providers: Providers, journal: StepJournal) -> None:
        self._providers = providers
        self._journal = journal

    def complete(self, planned: PlannedCall, context: CallContext) -> ModelResponse:
        """One call to the planned target. Raises UnknownPrice or BudgetShort before it is made."""
        assert planned.target is not None
        if context.must_stop:
            raise Interrupted("deadline_exceeded", "No time was left for the call.", transient=True)
        prices = planned.catalogue.price_list(planned.target)
        call = started_call(planned, planned.target, self._journal, prices)
        context.model = planned.target.model_name
        self._journal.start(call)
        try:
            provider = self._providers(planned.target.provider)
            context.sent_at = time.monotonic()
            response = provider.complete(planned.request, context)
        except ModelError as error:
            self._journal.settle(failed(call, error, prices))
            raise
        response = replace(response, tier=call.tier)
        self._journal.settle(settled(call, response, prices))
        return response


def started_call(
    planned: PlannedCall, target: Target, journal: StepJournal, prices: PriceList, *, lane: str = "live"
) -> StartedCall:
    """What is written of a call before it is made."""
    request, selection = planned.request, planned.selection
    return StartedCall(
        step=journal.step,
        ordinal=planned.place.ordinal,
        request_hash=planned.place.request_hash,
        tier=selection.tier.value,
        provider=target.provider,
        model=target.model,
        worst_case_usd_micros=prices.worst_case_usd_micros(
            request.input_bound_tokens, request.max_tokens, caches=bool(request.prompt_cache_ttl)
        ),
        worst_case_input_tokens=request.input_bound_tokens,
        worst_case_output_tokens=request.max_tokens,
        complexity=selection.complexity,
        routing_reason=selection.reason[:MAX_REASON_CHARACTERS],
        escalated_from=request.escalated_from.value if request.escalated_from else "",
        lane=lane,
    )


MAX_REASON_CHARACTERS = 200


def settled(
    call: StartedCall, response: ModelResponse, prices: PriceList, live_prices: PriceList | None = None
) -> Settlement:
    """The settlement of a call that was answered. `live_prices` are what it would have been billed by at once."""
    cost = prices.cost_usd_micros(response.usage)
    uncached = (live_prices or prices).cost_usd_micros(response.usage.uncached)
    return Settlement(
        call=call,
        status="settled",
        usage=response.usage,
        cost_usd_micros=cost,
        avoided_usd_micros=uncached - cost,
        price_version=prices.version,
        model=response.model,
        provider_request_id=response.request_id,
        response=response,
    )


def failed(call: StartedCall, error: ModelError, prices: PriceList) -> Settlement:
    """The settlement of a call that failed: it costs what the provider had billed by then."""
    usage = error.usage or Usage()
    return Settlement(
        call=call,
        status="failed",
        usage=usage,
        cost_usd_micros=prices.cost_usd_micros(usage),
        price_version=prices.version,
        model=call.model,
        provider_request_id=error.request_id,
        error_code=error.code,
        estimated=error.usage is not None,
    )
