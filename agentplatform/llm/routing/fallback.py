"""Difficulty by rules: what is asked of a request that resembles nothing that was learned from.

The weights were set by hand, for order: longer requests come later, and among them those with more conditions,
comparisons, enumerations and larger numbers. Length weighs most because nothing else kept its order from one kind of
public rows to another: on each of three kinds (docs/routing.md) the rules order better than length alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from agentplatform.llm.routing.structure import Parts

CHARACTERS_PER_WORD = 6
OFFSET = -1.9
LENGTH_WEIGHT = 0.6
ORDINARY_WORDS = 12
WEIGHTS: Mapping[str, float] = {
    "topic_condition": 0.3,
    "topic_comparison": 0.15,
    "log_largest_number": 0.1,
    "stem_comma": 0.1,
    "stem_symbol": 0.5,
    "topic_formal": 0.3,
    "topic_code": 0.2,
    "topic_task": 0.1,
}


def difficulty_by_rules(parts: Parts, named: Mapping[str, float]) -> tuple[float, str]:
    """The log-odds of the difficulty, and the name of the feature that weighed most."""
    words = max(len(parts.stem_words), len(parts.stem) / CHARACTERS_PER_WORD)
    # What was not read of a long text still counts as length.
    unread = max(0, parts.length - len(parts.read)) / CHARACTERS_PER_WORD
    shares = {"log_words": LENGTH_WEIGHT * math.log1p((words + unread) / ORDINARY_WORDS)}
    shares |= {name: weight * named[name] for name, weight in WEIGHTS.items()}
    most = max(shares, key=lambda name: shares[name])
    return OFFSET + sum(shares.values()), most
