"""Chooses the tier of each call: by its complexity, its circumstances and the context window it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.catalogue import Catalogue, Target
from agentplatform.llm.errors import ModelError
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallLayer, CallPlace, PlannedCall
from agentplatform.llm.restraint import Restraint
from agentplatform.llm.routing.complexity import Complexity, RoutingInput
from agentplatform.llm.routing.selection import Circumstances, Selection, fits, select_tier
from agentplatform.llm.tiers import Tier

ESTIMATE_MAY_BE_OFF_BY = 2.0
"""Where a request so many times as large as its estimate would not fit every window, its tokens are counted."""

Scorer = Callable[[RoutingInput], Complexity]


class TokenCounter(Protocol):
    """Counts the tokens of a request exactly; None where the provider cannot."""

    def __call__(self, target: Target, request: ModelRequest, context: CallContext) -> int | None: ...


class Routed:
    """Plans each call: its tier, and why."""

    def __init__(self, inner: CallLayer, catalogue: Catalogue, score: Scorer, count: TokenCounter) -> None:
        self._inner = inner
        self._catalogue = catalogue
        self._score = score
        self._count = count

    def complete(self, request: ModelRequest, context: CallContext, place: CallPlace) -> ModelResponse:
        """Raises ContextWindowExceeded when no tier that it may use has room for the request."""
        selection = self._select(request, context)
        settings = self._catalogue.tiers[selection.tier]
        if selection.tier is not selection.wanted:
            context.degrade(
                *_why_lower(selection, context.restraint),
                requested_model=self._catalogue.settings(selection.wanted).model,
                served_model=settings.model,
            )
        if context.restraint.level >= Level.THROTTLE:
            context.degrade(
                "budget_throttled",
                f"Budget '{context.restraint.budget}' is nearly used up: fewer steps run at once, and start a minute.",
            )
        if request.max_tokens > settings.max_output_tokens:
            request = replace(request, max_tokens=settings.max_output_tokens)
        planned = PlannedCall(request, place, self._catalogue, selection)
        return self._inner.complete(planned, context)

    def _select(self, request: ModelRequest, context: CallContext) -> Selection:
        self._catalogue.settings(request.tier or Tier.FAST)  # raises where nobody serves any tier
        told = self._circumstances(request, context)
        smallest = min(self._catalogue.tiers.values(), key=lambda settings: settings.context_window_tokens)
        if not fits(smallest, math.ceil(told.input_tokens * ESTIMATE_MAY_BE_OFF_BY), request.max_tokens):
            exact = self._exact_tokens(smallest.targets[0], request, context)
            told = replace(told, input_tokens=exact or told.input_tokens)
        return select_tier(self._catalogue, told)

    def _circumstances(self, request: ModelRequest, context: CallContext) -> Circumstances:
        scored = None if request.tier is not None else self._score(routing_input(request))
        return Circumstances(
            complexity=scored.value if scored else None,
            complexity_reason=scored.reason if scored else "",
            pinned=request.tier,
            floor=request.min_tier,
            cap=context.max_tier,
            use_case=request.use_case,
            queue=context.queue,
            seconds_left=context.deadline.seconds_left,
            input_tokens=request.input_estimate_tokens,
            max_tokens=request.max_tokens,
            restraint=context.restraint,
        )

    def _exact_tokens(self, target: Target, request: ModelRequest, context: CallContext) -> int | None:
        try:
            return self._count(target, request, context)
        except ModelError:
            return None  # the estimate has to do; the provider itself has the last word


def _why_lower(selection: Selection, restraint: Restraint) -> tuple[str, str]:
    """The code and the message of an answer by a lower tier than wanted."""
    if selection.is_restrained:
        told = f"budget '{restraint.budget}' is nearly used up"
        return "budget_degraded", f"Answered by the {selection.tier} tier: {told}."
    return (
        "tier_capped",
        f"Answered by the {selection.tier} tier, the highest that the tenant may use at the moment.",
    )


def routing_input(request: ModelRequest) -> RoutingInput:
    """What the scorer is shown of a request."""
    return RoutingInput(
        text=request.asked or "\n".join(_user_texts(request)),
        use_case=request.use_case,
        tool_count=len(request.tools),
        has_output_schema=request.output_schema is not None,
        max_tokens=request.max_tokens,
    )


def _user_texts(request: ModelRequest) -> Iterator[str]:
    for message in request.messages:
        if message.get("role") != "user":
            continue
        content = message["content"]
        if isinstance(content, str):
            yield content
            continue
        for block in content:
            if block.get("type") == "text":
                yield str(block["text"])
