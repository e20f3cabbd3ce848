"""How far windows of a reference lie from each other of themselves, and how unusual another is among them.

Bursts of tenants, days of the week and busy providers make windows less alike than chance does, and a test that takes
every run for independent calls each of them a shift. So a window's figure (the mean of the logarithms of values, the
arcsine of the root of a share) has a variance of two parts, as in a meta-analysis with random effects (DerSimonian and
Laird, 1986): that of its own sample, and that between windows, which the reference tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist

from agentplatform.profiles.observing import Observed, Part, Values
from agentplatform.profiles.sketch import GAMMA

LEAST_WINDOWS = 8
"""With fewer windows a reference does not say how they differ; nor what they are like at a time of day."""

TRIMMED = 0.02
"""Of the windows of a reference those that lie furthest off: its own shifts, which are not to hide the next one."""

_CUT = NormalDist().inv_cdf(1 - TRIMMED / 2)
_LEFT_OF_VARIANCE = 1 - 2 * _CUT * NormalDist().pdf(_CUT) / (1 - TRIMMED)
_SMALLEST = 1e-300
_LOG_GAMMA = math.log(GAMMA)


@dataclass(frozen=True, slots=True)
class _Figure:
    """A window's figure, the variance of its sampling, and how many independent units it is of."""

    start: datetime
    value: float
    variance: float
    units: int


def near_in_time(known: Mapping[datetime, Observed], at: datetime) -> list[Observed]:
    """The windows that begin within an hour of the same time of day; all, if these are too few."""
    near = [one for start, one in known.items() if _hours_apart(start, at) <= 1]
    return near if len(near) >= LEAST_WINDOWS else list(known.values())


def unusual(
    at: datetime, window: Observed, known: Mapping[datetime, Observed], chance: Mapping[str, float]
) -> float:
    """How likely a window of the reference's population is as far from those of its time of day: a p-value.

    `chance` are the p-values of a test that knows of sampling alone; of a mix by category, and then the result is that
    of the most unusual one, times their number. Where nothing can be said of how windows differ it is the test's own.
    """
    least = min(chance.values()) * len(chance)
    if len(known) < LEAST_WINDOWS:
        return least
    p_values = []
    for name, p_value in chance.items():
        own = _figure(at, window, name)
        others = [one for start, seen in known.items() if (one := _figure(start, seen, name)) is not None]
        if own is not None and len(others) >= LEAST_WINDOWS:
            p_values.append(max(p_value, _p_value(own, others, p_value)))
    return min(1.0, min(p_values) * len(chance)) if p_values else least


def _p_value(own: _Figure, others: Sequence[_Figure], chance: float) -> float:
    """The test's statistic over both parts of the variance.

    An exact test's own statistic is better than the figure's for what is rare, and has no number for what is certain.
    """
    gap, count = _gap(own, others)
    statistic = abs(gap) / math.sqrt(own.variance * (1 + 1 / count))
    if _SMALLEST < chance < 1:
        statistic = max(statistic, -NormalDist().inv_cdf(chance / 2))
    inflated = math.sqrt(own.variance / (own.variance + _between(others)))
    return _two_sided(statistic * inflated, len(others) - 1)


def _between(figures: Sequence[_Figure]) -> float:
    """The variance between windows, beyond that of their sampling."""
    squares = []
    for place, figure in enumerate(figures):
        gap, count = _gap(figure, [*figures[:place], *figures[place + 1 :]])
        squares.append((gap * gap / (1 + 1 / count), figure.variance))
    squares.sort()
    kept = squares[: len(squares) - round(TRIMMED * len(squares))]
    whole = sum(square for square, _ in kept) / len(kept)
    if len(kept) < len(squares):
        whole /= _LEFT_OF_VARIANCE
    return max(0.0, whole - sum(variance for _, variance in kept) / len(kept))


def _gap(figure: _Figure, others: Sequence[_Figure]) -> tuple[float, int]:
    """How far a window is from the others of its time of day, and how many these are."""
    near = [one for one in others if _hours_apart(one.start, figure.start) <= 1]
    if len(near) < LEAST_WINDOWS:
        near = list(others)
    units = sum(one.units for one in near)
    return figure.value - sum(one.value * one.units for one in near) / units, len(near)


def _hours_apart(one: datetime, other: datetime) -> float:
    """By the clock, whatever the day."""
    apart = abs(one.hour + one.minute / 60 - other.hour - other.minute / 60)
    return min(apart, 24 - apart)


def _figure(start: datetime, observed: Observed, name: str) -> _Figure | None:
    """Of a category, if the observation is a mix; None of nothing."""
    if not observed.units:
        return None
    if isinstance(observed, Values):
        count = sum(observed.sketch.bins.values())
        if not count:
            return None
        mean = sum(bin_ * here for bin_, here in observed.sketch.bins.items()) / count
        squares = sum(here * (bin_ - mean) ** 2 for bin_, here in observed.sketch.bins.items()) / count
        variance = squares * _LOG_GAMMA**2 / observed.units
        return _Figure(start, mean * _LOG_GAMMA, variance, observed.units)
    part = observed if isinstance(observed, Part) else observed.part(name)
    count, whole = part.independent
    return _Figure(
        start, math.asin(math.sqrt((count + 0.375) / (whole + 0.75))), 1 / (4 * whole + 2), observed.units
    )


def _two_sided(statistic: float, freedom: int) -> float:
    """The probability of a statistic of Student's distribution further from 0, by Wallace's approximation (1959)."""
    z = (
        math.sqrt(freedom * math.log1p(statistic * statistic / freedom))
        * (8 * freedom + 1)
        / (8 * freedom + 3)
    )
    return math.erfc(z / math.sqrt(2))
