"""Difficulty by rules: what is asked of a request that resembles nothing that was learned from.

The weights were set by hand, for order: longer, more formal, more constrained requests come later. They were not
fitted to any data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from agentplatform.llm.routing.structure import Parts

CHARACTERS_PER_WORD = 6
OFFSET = -2.1
LENGTH_WEIGHT = 0.6
ORDINARY_WORDS = 12
RARITY_WEIGHT = 0.2
ORDINARY_RARITY = 5.0
WEIGHTS: Mapping[str, float] = {
    "topic_formal": 1.2,
    "topic_code": 0.6,
    "stem_code": 0.3,
    "stem_symbol": 0.5,
    "stem_latex": 0.3,
    "topic_compute": 0.4,
    "topic_constraint": 0.3,
    "topic_condition": 0.3,
    "topic_comparison": 0.15,
    "topic_why": 0.3,
    "topic_task": 0.2,
    "topic_format": 0.2,
    "log_numbers": 0.2,
}


def difficulty_by_rules(parts: Parts, named: Mapping[str, float]) -> tuple[float, str]:
    """Between 0 and 1, and the name of the feature that weighed most."""
    words = max(len(parts.stem_words), len(parts.stem) / CHARACTERS_PER_WORD)
    # What was not read of a long text still counts as length.
    unread = max(0, parts.length - len(parts.read)) / CHARACTERS_PER_WORD
    shares = {"log_words": LENGTH_WEIGHT * math.log1p((words + unread) / ORDINARY_WORDS)}
    shares |= {name: weight * named[name] for name, weight in WEIGHTS.items()}
    shares["rarity"] = RARITY_WEIGHT * max(0.0, named["rarity"] - ORDINARY_RARITY)
    most = max(shares, key=lambda name: shares[name])
    return 1 / (1 + math.exp(-(OFFSET + sum(shares.values())))), most
