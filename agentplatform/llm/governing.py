"""What becomes of a call that there is too little budget for: smaller, on a cheaper tier, later."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentplatform.llm.errors import BudgetShort, CallDeferred, CostLimitReached, Interrupted
from agentplatform.llm.messages import ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallLayer, PlannedCall
from agentplatform.llm.routing.selection import fits
from agentplatform.llm.tiers import Tier

LEAST_SHARE = 4
"""An answer is cut to a part of what was asked for, but not to less than one in so many of its tokens."""

LEAST_TOKENS = 32
"""An answer of fewer tokens is none."""

SHORT_WAIT_SECONDS = 2.0
"""For so long a call waits in its slot for others that are in flight, and may cost less than reserved."""

POLL_SECONDS = 0.05
IN_FLIGHT_SECONDS = 5.0
"""How soon a step looks again whose workflow's own limit is taken up by calls in flight."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """A call made smaller, and how that is said."""

    planned: PlannedCall
    code: str
    message: str


class Governed:
    """Makes a call fit into what there is room for, and says so; where nothing fits, its step is held.

    The order: it waits a moment for calls in flight, its answer is cut shorter, a cheaper tier answers, it is held.
    Every attempt of every inner layer reserves by itself, and may come back from here smaller.
    """

    def __init__(self, inner: CallLayer) -> None:
        self._inner = inner

    def complete(self, planned: PlannedCall, context: CallContext) -> ModelResponse:
        """Raises CostLimitReached where its workflow's own limit has no room, CallDeferred where a budget has none."""
        asked = planned
        waited = 0.0
        while True:
            try:
                return self._inner.complete(planned, context)
            except BudgetShort as short:
                if short.in_flight and waited < SHORT_WAIT_SECONDS:
                    waited += POLL_SECONDS
                    if not context.pause(POLL_SECONDS):
                        raise Interrupted(
                            "deadline_exceeded", "No time was left for the call.", transient=True
                        ) from short
                    continue
                reduction = reduced(planned, short)
                if reduction is None:
                    raise _given_up(asked, short) from short
                context.degrade(
                    reduction.code,
                    reduction.message,
                    requested_model=asked.settings.model,
                    served_model=reduction.planned.settings.model,
                )
                planned = reduction.planned


def reduced(planned: PlannedCall, short: BudgetShort) -> Reduction | None:
    """The call as there is room for it: with a shorter answer, else on a cheaper tier; None if that is not enough.

    An answer of a schema is not cut. No call goes below the tier that it may not be answered under.
    """
    request = planned.request
    if short.room_usd_micros is None and short.room_tokens is None:
        return None  # too many at once: a smaller one would not help
    for settings in _from_here_down(planned):
        other = replace(planned, selection=replace(planned.selection, tier=settings))
        affordable = affordable_tokens(other, short)
        is_lower = settings is not planned.selection.tier
        least = max(LEAST_TOKENS, request.max_tokens // LEAST_SHARE)
        if is_lower and affordable >= request.max_tokens:
            message = f"A cheaper tier answered: budget '{short.budget}' had too little room."
            return Reduction(_with_reason(other, "cheaper, for its budget"), "budget_tier_lowered", message)
        if least <= affordable < request.max_tokens and request.output_schema is None:
            message = f"The answer was limited to {affordable} tokens: budget '{short.budget}' had no room for more."
            smaller = replace(other, request=replace(request, max_tokens=affordable))
            return Reduction(
                _with_reason(smaller, "shorter, for its budget"), "budget_answer_shortened", message
            )
    return None


def affordable_tokens(planned: PlannedCall, short: BudgetShort) -> int:
    """How many tokens its answer may have within what there is room for, at the dearest of its tier's providers."""
    request = planned.request
    limits = [request.max_tokens]
    if short.room_tokens is not None:
        limits.append(short.room_tokens - request.input_bound_tokens)
    if short.room_usd_micros is not None:
        limits += [
            planned.catalogue.price_list(target).affordable_output_tokens(
                short.room_usd_micros, request.input_bound_tokens, caches=True
            )
            for target in planned.settings.targets
        ]
    return min(limits)


def _from_here_down(planned: PlannedCall) -> list[Tier]:
    """Its tier and those below it that have room for it and that it may be answered by."""
    request, floor = planned.request, planned.request.min_tier
    own = planned.selection.tier
    lower = [
        tier
        for tier, settings in planned.catalogue.tiers.items()
        if tier.rank < own.rank
        and (floor is None or tier.rank >= floor.rank)
        and fits(settings, request.input_estimate_tokens, request.max_tokens)
    ]
    return [own, *sorted(lower, key=lambda tier: -tier.rank)]


def _with_reason(planned: PlannedCall, reason: str) -> PlannedCall:
    selection = planned.selection
    return replace(planned, selection=replace(selection, reason=f"{selection.reason}; {reason}"))


def _given_up(asked: PlannedCall, short: BudgetShort) -> CallDeferred | CostLimitReached:
    if short.seconds is not None:
        prices = [asked.catalogue.price_list(target) for target in asked.settings.targets]
        request = asked.request
        usd_micros = min(
            price.worst_case_usd_micros(request.input_bound_tokens, request.max_tokens, caches=False)
            for price in prices
        )
        return CallDeferred(
            short.code,
            f"{short.message} The step goes on by itself when its window turns or it is raised.",
            waiting_for="budget",
            seconds=short.seconds,
            needs=(usd_micros, request.input_bound_tokens + request.max_tokens),
        )
    if short.in_flight:
        return CallDeferred(short.code, short.message, waiting_for="budget", seconds=IN_FLIGHT_SECONDS)
    return CostLimitReached(short.code, short.message, transient=False)
