"""Up to which complexity each tier of model is enough, unless an operator says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from agentplatform.llm.tiers import Tier

DEFAULT_LIMITS: Mapping[Tier, float] = {Tier.FAST: 0.3, Tier.BALANCED: 0.7, Tier.POWERFUL: 1.0}


def tier_within(complexity: float, limits: Mapping[Tier, float] = DEFAULT_LIMITS) -> Tier:
    """The first tier, in the order of the limits, whose limit is not exceeded; the last if all are."""
    for tier, limit in limits.items():
        if complexity <= limit:
            return tier
    return list(limits)[-1]
