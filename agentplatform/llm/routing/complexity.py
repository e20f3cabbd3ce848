"""temporary"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoutingInput:
    text: str
    use_case: str = ""
    tool_count: int = 0
    has_output_schema: bool = False
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Complexity:
    value: float
    reason: str
    is_familiar: bool


class ComplexityScorer:
    def score(self, told: RoutingInput) -> Complexity:
        return Complexity(min(1.0, len(told.text) / 20000), "length", False)
