"""What the budgets of a call ask of it: the strictest of the actions that are in force."""

from __future__ import annotations

from dataclasses import dataclass

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.tiers import Tier


@dataclass(frozen=True, slots=True)
class Restraint:
    """The level that is in force for a call, and the budget that it is of."""

    level: Level = Level.NONE
    budget: str = ""

    def tier_for(self, wanted: Tier, floor: Tier | None) -> Tier:
        """The tier that answers in place of `wanted`: one lower while degraded, the lowest from throttling on.

        Never one below `floor`.
        """
        if self.level < Level.DEGRADE:
            return wanted
        lower = (wanted.below or wanted) if self.level is Level.DEGRADE else Tier.FAST
        return floor if floor is not None and lower.rank < floor.rank <= wanted.rank else lower


UNRESTRAINED = Restraint()
