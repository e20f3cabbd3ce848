"""Which tier a request is sent to: a pure decision, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentplatform.llm.catalogue import Catalogue, TierSettings
from agentplatform.llm.errors import ContextWindowExceeded
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from agentplatform.llm.routing.limits import tier_within
from agentplatform.llm.tiers import Tier

INTERACTIVE_MARGIN = 0.05
"""How far above a tier's limit a request may be that somebody waits for: a faster model answers sooner."""

SHORT_SECONDS = 8.0
"""With less time than this left, a request is sent one tier lower: a late answer is none."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a tier is chosen by.

    `complexity` in [0, 1] and `complexity_reason` are the scorer's; None where the tier is pinned. `cap` is the
    highest tier that the tenant may use at the moment, and `restraint` what its budgets ask. `input_tokens` is an
    estimate, or exact.
    """

    complexity: float | None
    complexity_reason: str
    pinned: Tier | None
    floor: Tier | None
    cap: Tier | None
    use_case: str
    queue: str
    seconds_left: float
    input_tokens: int
    max_tokens: int
    restraint: Restraint = UNRESTRAINED


@dataclass(frozen=True, slots=True)
class Selection:
    """The tier that was chosen, why, and the one that was `wanted` before a cap, or budgets, lowered it."""

    tier: Tier
    wanted: Tier
    reason: str
    complexity: float | None = None
    is_restrained: bool = False


def select_tier(catalogue: Catalogue, told: Circumstances) -> Selection:
    """The cheapest tier that can do it.

    A pinned tier, else the tier of the declared use case, else by complexity; raised to the floor; lowered to the
    tenant's cap, and for its budgets; moved to a window that is large enough. Raises ContextWindowExceeded when no allowed tier has one.
    """
    tier, reason = _wanted(catalogue.tiers, told)
    if told.floor is not None and tier.rank < told.floor.rank:
        tier, reason = told.floor, f"{reason}; not below {told.floor}"
    wanted = tier
    if told.cap is not None and tier.rank > told.cap.rank:
        tier, reason = told.cap, f"{reason}; capped at {told.cap}"
    restrained = told.restraint.tier_for(tier, told.floor)
    is_restrained = restrained is not tier
    if is_restrained:
        tier, reason = restrained, f"{reason}; {restrained} for its budget"
    tier = catalogue.settings(tier).tier
    fitting = _fitting(catalogue.tiers, tier, told)
    if fitting is not tier:
        reason = f"{reason}; {fitting} for its context window"
        wanted = wanted if wanted.rank > fitting.rank else fitting
    return Selection(fitting, wanted, reason, told.complexity, is_restrained)


def fits(settings: TierSettings, input_tokens: int, max_tokens: int) -> bool:
    """Whether a request and its answer fit the tier's context window."""
    return input_tokens + min(max_tokens, settings.max_output_tokens) <= settings.context_window_tokens


def _wanted(tiers: Mapping[Tier, TierSettings], told: Circumstances) -> tuple[Tier, str]:
    if told.pinned is not None:
        return told.pinned, "pinned by its step"
    for tier, settings in tiers.items():
        if told.use_case and told.use_case in settings.use_cases:
            return tier, f"use case '{told.use_case}'"
    assert told.complexity is not None
    margin = INTERACTIVE_MARGIN if told.queue == "interactive" else 0.0
    limits = {tier: tiers[tier].max_complexity for tier in sorted(tiers, key=lambda tier: tier.rank)}
    tier = tier_within(told.complexity - margin, limits)
    reason = f"complexity {told.complexity:.2f}: {told.complexity_reason}"
    if told.seconds_left < SHORT_SECONDS and tier.below is not None:
        return tier.below, f"{reason}; one lower, {told.seconds_left:.0f} s are left"
    return tier, reason


def _fitting(tiers: Mapping[Tier, TierSettings], tier: Tier, told: Circumstances) -> Tier:
    """`tier`, or the cheapest one above it, or else below it, that has room for the request."""
    allowed = [
        other
        for other in sorted(tiers, key=lambda other: (other.rank < tier.rank, abs(other.rank - tier.rank)))
        if told.cap is None or other.rank <= max(told.cap.rank, tier.rank)
    ]
    for other in allowed:
        if fits(tiers[other], told.input_tokens, told.max_tokens):
            return other
    largest = max(tiers[other].context_window_tokens for other in allowed)
    raise ContextWindowExceeded(
        "context_window_exceeded",
        f"The request has about {told.input_tokens} tokens and its answer up to {told.max_tokens}; the largest "
        f"context window that it may use has {largest}. Divide the input.",
        transient=False,
        max_input_tokens=largest - told.max_tokens,
    )
