"""How often answers are wrong, from what was checked: an estimate with its interval."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

CONFIDENCE = 0.95
_BISECTIONS = 60
_TERMS = 500
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """The share of wrong answers, and between which shares it is with 95% confidence."""

    share: float
    low: float
    high: float


@functools.lru_cache(maxsize=4096)
def error_estimate(checked: int, wrong: int) -> ErrorEstimate | None:
    """Of `checked` answers `wrong` were wrong: the exact interval of Clopper and Pearson (1934). None without any."""
    if checked <= 0:
        return None
    tail = (1.0 - CONFIDENCE) / 2
    low = _root(lambda share: _beta(share, wrong, checked - wrong + 1) - tail) if wrong else 0.0
    high = (
        _root(lambda share: _beta(share, wrong + 1, checked - wrong) - (1.0 - tail))
        if wrong < checked
        else 1.0
    )
    return ErrorEstimate(wrong / checked, low, high)


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises from 0 to 1 is 0."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22, modified Lentz)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(1.0 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    result, c, d = 1.0, 1.0, 0.0
    for term in range(_TERMS):
        m = term // 2
        if term == 0:
            factor = 1.0
        elif term % 2 == 0:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / ((1.0 + factor * d) or _TINY)
        c = (1.0 + factor / c) or _TINY
        result *= c * d
        if abs(1.0 - c * d) < 1e-12:
            break
    return math.exp(front) * (result - 1.0) / a
