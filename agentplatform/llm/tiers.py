"""The tiers of models: what a step asks for, in place of a model's name."""

from enum import StrEnum


class Tier(StrEnum):
    """How capable (and dear) a model a step needs."""

    FAST = "fast"
    BALANCED = "balanced"
    POWERFUL = "powerful"
