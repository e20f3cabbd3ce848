"""How much a tenant spends a day when rhythm and spikes are taken out, how that grows, and how sure both are.

A gamma regression with logarithmic link (P. McCullagh and J. A. Nelder, Generalized Linear Models, 1989, chapter 8) on
whole days, so a day without spend is a day like any other; with Huber's weights against days out of line (P. J. Huber,
Robust estimation of a location parameter, 1964), newer days first, and a growth that is drawn to none and damped ahead
(E. S. Gardner and E. McKenzie, Forecasting trends in time series, 1985).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_HALF_LIFE_DAYS = 42.0
_GROWTH_A_DAY = 0.02  # the prior's standard deviation, as a share of the level
_DAMPING = 0.995  # of growth, for each day ahead
_DAY_NOISE = 0.3  # what a day is taken to vary by, before any was seen
_NOISE_DAYS = 2.0  # and how many days that is worth
_HUBER = 1.2
_PASSES = 6
# Days resemble their neighbours, so many of them say less than their number: the variance of a mean grows by this.
_RESEMBLANCE = 1.7
# A lasting change: at least so many days after it, on one side of what was before by this factor and this many times
# the noise.
_SHIFT_DAYS = 3
_SHIFT_FACTOR = 1.5
_SHIFT_NOISE = 8.0
_COMPARED_DAYS = 14


@dataclass(frozen=True, slots=True)
class Level:
    """Micro-dollars a day now, and relative to that: growth a day, the noise of a day, variances of both estimates."""

    a_day: float
    growth: float
    noise: float
    variance: float
    growth_variance: float

    def ahead(self, days: float) -> float:
        """The level so many days from now."""
        return self.a_day * math.exp(self.growth * _damped(days))

    def mean_variance(self, days: float) -> float:
        """Of the mean of so many days from now, relative to its square: doubt about level and growth, and noise."""
        doubt = self.variance + self.growth_variance * _damped(days / 2) ** 2
        resemblance = 1 + (_RESEMBLANCE - 1) * min(days / 7, 1.0)
        return doubt + resemblance * self.noise**2 / max(days, 1.0)


def _damped(days: float) -> float:
    return float((1 - _DAMPING**days) / (1 - _DAMPING))


def level_of(days: Sequence[float], shares: Sequence[float]) -> Level:
    """From spend a day without season and spikes, newest first, and the share of the day that each was seen."""
    total = sum(shares)
    if total <= 0 or not any(days):
        return Level(0.0, 0.0, _DAY_NOISE, 0.0, 0.0)
    level = sum(day * share for day, share in zip(days, shares, strict=True)) / total
    rows = list(zip(_since_shift(days), shares, strict=True))
    growth, noise = 0.0, _DAY_NOISE
    variance = growth_variance = 0.0
    for _ in range(_PASSES):
        residuals = [day / _fitted(level, growth, age) - 1 for age, (day, _) in enumerate(rows)]
        noise = _noise(residuals, shares)
        weights = _weights(residuals, shares, noise)
        step, growth, variance, growth_variance = _solved(residuals, weights, growth, noise)
        level *= math.exp(max(min(step, 1.0), -1.0))
    return Level(level, growth, noise, variance, growth_variance)


def _fitted(level: float, growth: float, age: float) -> float:
    return level * math.exp(-growth * age)


def _weights(residuals: Sequence[float], shares: Sequence[float], noise: float) -> list[float]:
    return [
        share * 0.5 ** (age / _HALF_LIFE_DAYS) * min(1.0, _HUBER * noise / max(abs(residual), 1e-9))
        for age, (residual, share) in enumerate(zip(residuals, shares, strict=True))
    ]


def _solved(
    residuals: Sequence[float], weights: Sequence[float], growth: float, noise: float
) -> tuple[float, float, float, float]:
    """One scoring step: the change of the level's logarithm, the new growth, and the variances of both.

    The normal equations of two unknowns, with time counted back from now and a ridge that draws growth to none.
    """
    ridge = _RESEMBLANCE * (noise / _GROWTH_A_DAY) ** 2
    s0 = sum(weights)
    s1 = -sum(weight * age for age, weight in enumerate(weights))
    s2 = sum(weight * age**2 for age, weight in enumerate(weights)) + ridge
    working = [residual - growth * age for age, residual in enumerate(residuals)]
    y0 = sum(weight * value for weight, value in zip(weights, working, strict=True))
    y1 = -sum(weight * age * value for age, (weight, value) in enumerate(zip(weights, working, strict=True)))
    determinant = s0 * s2 - s1**2
    scale = _RESEMBLANCE * noise**2 / determinant
    found = max(min((s0 * y1 - s1 * y0) / determinant, 0.1), -0.1)
    return (s2 * y0 - s1 * y1) / determinant, found, s2 * scale, s0 * scale


def _noise(residuals: Sequence[float], shares: Sequence[float]) -> float:
    """The standard deviation of a day about its level, drawn to the prior's; one day counts for at most its level."""
    squares, seen = _NOISE_DAYS * _DAY_NOISE**2, _NOISE_DAYS
    for residual, share in zip(residuals, shares, strict=True):
        squares += share * min(abs(residual), 1.0) ** 2
        seen += share
    return math.sqrt(squares / max(seen - 2, 1.0))


def _since_shift(days: Sequence[float]) -> list[float]:
    """The days with those before a lasting change of level brought to the level after it."""
    best, factor, at = 0.0, 1.0, 0
    for cut in range(_SHIFT_DAYS, len(days) - _SHIFT_DAYS):
        after, before = days[max(cut - _COMPARED_DAYS, 0) : cut], days[cut : cut + _COMPARED_DAYS]
        new, old = _median(after), _median(before)
        if new <= 0 or old <= 0:
            continue
        spread = max(_spread(after, new) / new, _spread(before, old) / old, 0.05)
        step = abs(math.log(new / old)) / (spread * math.sqrt(1 / len(after) + 1 / len(before)))
        if step > best:
            best, factor, at = step, new / old, cut
    if best < _SHIFT_NOISE or 1 / _SHIFT_FACTOR < factor < _SHIFT_FACTOR:
        return list(days)
    return [day if age < at else day * factor for age, day in enumerate(days)]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _spread(values: Sequence[float], middle: float) -> float:
    """The standard deviation, from the median of absolute deviations."""
    return 1.4826 * _median([abs(value - middle) for value in values])
