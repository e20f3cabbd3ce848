"""How hard a request is, from 0 to 1: by its length alone."""

from __future__ import annotations

from dataclasses import dataclass

LONG_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class RoutingInput:
    """What is scored of a request: the user's words, and what is declared."""

    text: str
    use_case: str = ""
    tool_count: int = 0
    has_output_schema: bool = False
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Complexity:
    """A score in [0, 1], and why. `is_familiar` is false where the score is a guess."""

    value: float
    reason: str
    is_familiar: bool


class ComplexityScorer:
    """Scores requests without a model."""

    def score(self, told: RoutingInput) -> Complexity:
        return Complexity(min(1.0, len(told.text) / LONG_CHARACTERS), "length", False)
