"""Whether the answer to an earlier question serves a new one: similar vectors are not enough, since they differ little
where one word changes everything. What must agree is vetoed when it does not; the rest is a probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from agentplatform.llm.caching.alignment import align
from agentplatform.llm.caching.pair_features import features_of
from agentplatform.llm.caching.pair_scorer import Regression, load
from agentplatform.llm.caching.vetoes import find_veto
from agentplatform.llm.caching.vocabulary import Vocabulary
from agentplatform.llm.caching.wording import read

DEFAULT_THRESHOLD = 0.98
"""The least probability that is served unless a scope has a threshold of its own."""
FLOOR_THRESHOLD = 0.88
"""No scope's threshold goes below."""
CANDIDATE_SIMILARITY = 0.75
"""Cosine below which an earlier question is not looked at. Of this model of vectors, as all these limits are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`similarity`: the cosine of both vectors. `probability`: that one answer serves both, 0 where something vetoes it.
    `veto`: what does not agree, such as "number", or None."""

    similarity: float
    probability: float
    veto: str | None

    def serves(self, threshold: float = DEFAULT_THRESHOLD) -> bool:
        """Whether the answer may be served at a threshold."""
        return self.veto is None and self.probability >= max(threshold, FLOOR_THRESHOLD)


class PairVerifier:
    """Judges pairs of questions. Holds no question; safe to use from several threads."""

    def __init__(self, vocabulary: Vocabulary, regression: Regression) -> None:
        self._vocabulary = vocabulary
        self._regression = regression

    @classmethod
    def load(cls) -> PairVerifier:
        """The shipped one, read once in a process. Raises ScorerFileError."""
        return _shipped()

    def judge(self, a: str, b: str, similarity: float) -> Verdict:
        """Judges a new question against one that was answered before. Never raises on any text."""
        similarity = min(1.0, max(-1.0, similarity)) if math.isfinite(similarity) else 0.0
        one, other = read(a), read(b)
        alignment = align(one, other, self._vocabulary)
        veto = find_veto(one, other, alignment)
        if veto is not None:
            return Verdict(similarity, 0.0, veto)
        row = features_of(one, other, alignment, similarity)
        return Verdict(similarity, self._regression.probability(row), None)


@cache
def _shipped() -> PairVerifier:
    words, regression = load()
    return PairVerifier(words.opened(), regression)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors of any length but 0."""
    product = sum(x * y for x, y in zip(one, other, strict=True))
    return product / math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))
