"""The tiers of models: what a step asks for, in place of a model's name."""

from __future__ import annotations

from enum import StrEnum

AUTO = "auto"
"""What stands for the tier of a step that has none of its own: the gateway chooses one for each call."""


class Tier(StrEnum):
    """How capable (and dear) a model a step needs."""

    FAST = "fast"
    BALANCED = "balanced"
    POWERFUL = "powerful"

    @property
    def rank(self) -> int:
        """0 for the cheapest."""
        return _RANKS[self]

    @property
    def above(self) -> Tier | None:
        """The next more capable tier; None above the highest."""
        return _ORDER[self.rank + 1] if self.rank + 1 < len(_ORDER) else None

    @property
    def below(self) -> Tier | None:
        """The next cheaper tier; None below the lowest."""
        return _ORDER[self.rank - 1] if self.rank else None


_ORDER = tuple(Tier)
_RANKS = {tier: rank for rank, tier in enumerate(_ORDER)}
