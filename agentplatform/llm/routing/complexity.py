"""How complex a request is, between 0 and 1, in a millisecond and without a model.

For a request like those learned from, the value is a quantile: 0.7 means that for 70% of them a stronger model is
expected to gain less over a weak one. For any other it is a difficulty by rules. What the caller declares moves either.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentplatform.llm.routing.fallback import difficulty_by_rules
from agentplatform.llm.routing.familiarity import form_of
from agentplatform.llm.routing.learned import SHIPPED, Learned, features_of, load_learned
from agentplatform.llm.routing.structure import take_apart

USE_CASES: Mapping[str, float] = {
    "classification": -0.8,
    "extraction": -0.6,
    "translation": -0.4,
    "summarization": -0.4,
    "chat": -0.2,
    "question_answering": 0.0,
    "writing": 0.1,
    "analysis": 0.5,
    "planning": 0.6,
    "coding": 0.7,
    "reasoning": 0.7,
    "mathematics": 0.7,
}
"""What a declared use case adds to the log-odds of the complexity; others add nothing."""
TOOLS_WEIGHT = 0.3
SCHEMA_WEIGHT = 0.2
OUTPUT_WEIGHT = 0.15
ORDINARY_OUTPUT = 2_000
"""Only the tokens allowed beyond these make a request more complex."""
WORDINGS: Mapping[str, str] = {
    "log_words": "its length",
    "log_largest_number": "the numbers in it",
    "stem_comma": "what it enumerates",
    "stem_symbol": "formal symbols",
    "topic_formal": "formal terms",
    "topic_code": "code",
    "topic_condition": "conditions",
    "topic_comparison": "comparisons",
    "topic_task": "the work it asks for",
}


@dataclass(frozen=True, slots=True)
class RoutingInput:
    """What is scored. `text` holds the user's words, without the system prompt; `use_case` is '' if unknown."""

    text: str
    use_case: str = ""
    tool_count: int = 0
    has_output_schema: bool = False
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Complexity:
    """`value` in [0, 1]; `reason` is a sentence for people that quotes nothing; `is_familiar` is False where the
    request resembles nothing that was learned from, so that rules decided."""

    value: float
    reason: str
    is_familiar: bool


class ComplexityScorer:
    """Scores requests; safe to use from several threads."""

    def __init__(self, learned: Learned) -> None:
        self._learned = learned
        self._words = learned.words.opened()
        self._levels = np.linspace(0, 1, len(learned.quantiles))

    @classmethod
    def load(cls, path: Path = SHIPPED) -> ComplexityScorer:
        """The scorer of a file, read once per process. Raises RouterFileError."""
        return _load(path)

    def score(self, routing_input: RoutingInput) -> Complexity:
        """The complexity of one request. Time does not grow with its length beyond some thousand characters."""
        parts = take_apart(routing_input.text)
        named, row = features_of(parts, self._words)
        ruled, most = difficulty_by_rules(parts, named)
        by_rules = 1 / (1 + math.exp(-ruled))
        form, familiarity = form_of(parts), self._learned.familiarity
        trusted = familiarity.share(row, form)
        value = by_rules
        if trusted > 0:
            standard = familiarity.standard(row[None, :], form)[0]
            gain = self._learned.linear.blend(self._learned.forest.predict_one(row), standard, ruled, form)
            quantile = float(np.interp(gain, self._learned.quantiles, self._levels))
            value = trusted * quantile + (1 - trusted) * by_rules
        moved, declared = _declared(routing_input)
        is_familiar = trusted >= 0.5
        return Complexity(
            value=_shifted(value, moved),
            reason=_reason(value, is_familiar, WORDINGS[most], bool(parts.options), declared),
            is_familiar=is_familiar,
        )


@functools.cache
def _load(path: Path) -> ComplexityScorer:
    return ComplexityScorer(load_learned(path))


def _declared(routing_input: RoutingInput) -> tuple[float, str]:
    """What the declared circumstances add to the log-odds, and the one that adds most, in words."""
    excess = max(0, routing_input.max_tokens - ORDINARY_OUTPUT) / ORDINARY_OUTPUT
    added = {
        "its use case": USE_CASES.get(routing_input.use_case.strip().lower().replace("-", "_"), 0.0),
        "its tools": TOOLS_WEIGHT * math.log1p(max(0, routing_input.tool_count)),
        "its output schema": SCHEMA_WEIGHT * routing_input.has_output_schema,
        "the length of its answer": OUTPUT_WEIGHT * math.log1p(excess),
    }
    most = max(added, key=lambda name: abs(added[name]))
    return sum(added.values()), most if added[most] else ""


def _shifted(value: float, moved: float) -> float:
    """The value with `moved` added to its log-odds; 0 and 1 are kept just inside, so that they can move too."""
    if not moved:
        return min(1.0, max(0.0, value))
    inside = min(0.999, max(0.001, value))
    return 1 / (1 + math.exp(-(math.log(inside / (1 - inside)) + moved)))


def _reason(value: float, is_familiar: bool, most: str, is_choice: bool, declared: str) -> str:
    if is_familiar:
        kind = "questions with options" if is_choice else "word problems"
        sentence = f"Stronger models gain more here than on {value:.0%} of familiar requests ({kind})"
    else:
        sentence = f"Unlike what was learned from, so judged by rules; {most} weighed most"
    return f"{sentence}; {declared} moved it." if declared else f"{sentence}."
