"""A load of small real runs, drawn from a seed, that can be shifted: in its mix of types, or in how long questions are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

WORDS = [
    "what",
    "which",
    "when",
    "where",
    "how",
    "why",
    "price",
    "order",
    "parcel",
    "invoice",
    "contract",
    "delivery",
    "address",
    "refund",
    "account",
]


@dataclass(frozen=True, slots=True)
class Load:
    """What is submitted: shares of types, and the median of the words of a question."""

    mix: dict[str, float] = field(
        default_factory=lambda: {"one_question": 0.6, "one_noop": 0.3, "one_ask": 0.1}
    )
    words: float = 40.0

    def runs(self, seed: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """(type, input) of so many runs."""
        chance = random.Random(seed)
        types = chance.choices(list(self.mix), list(self.mix.values()), k=count)
        for type_ in types:
            words = chance.choices(WORDS, k=max(1, round(self.words * chance.lognormvariate(0, 0.4))))
            yield type_, {"question": " ".join(words), "calls": 1}
