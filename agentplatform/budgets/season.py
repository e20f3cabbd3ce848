"""The rhythm of a tenant's spend: how much of it falls on which hour of which weekday.

A season is 168 factors with mean 1, estimated by the ratio of what an hour has cost to the level of the week around it
(ratio-to-moving-average: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 3.4).
Where there is little history, each factor is drawn to that of a coarser season: hour of week, weekday times hour of
day, working day or weekend, and at last the season given as prior, or none (partial pooling, as in Gelman and Hill,
2007, chapter 12).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from statistics import median
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
HOURS_A_DAY = 24
HOURS_A_WEEK = 168
# Pseudo-observations, in hours of the mean level: what a factor has to outweigh to leave its coarser one.
_CLASS_HOURS = 6.0
_WEEKDAY_HOURS = 36.0
_HOUR_OBSERVATIONS = 0.5
_SLOT_OBSERVATIONS = 3.0
# An hour is out of line beyond this many times what was expected; the limits of the passes, from coarse to fine.
_LIMITS = (6.0, 5.0, 5.0)
# Hours out of line are a spike while there are at most so many of them in two days. More are a new level.
_SPIKE_HOURS = 12


def full_hour(moment: datetime) -> datetime:
    """The start of the hour, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_start(moment: datetime) -> datetime:
    """The start of the day, UTC."""
    return full_hour(moment).replace(hour=0)


@dataclass(frozen=True, slots=True)
class Season:
    """The factor of each hour of the week in a time zone, Monday 00:00 first. Their mean is 1."""

    zone: ZoneInfo
    factors: tuple[float, ...] = (1.0,) * HOURS_A_WEEK

    def moved_to(self, zone: ZoneInfo, at: datetime) -> Season:
        """The same hours by the clock of another zone, with the zones as far apart as they are at that moment."""
        apart = at.astimezone(zone).utcoffset() or timedelta()
        apart -= at.astimezone(self.zone).utcoffset() or timedelta()
        shift = round(apart / HOUR)
        return Season(
            zone, tuple(self.factors[(slot - shift) % HOURS_A_WEEK] for slot in range(HOURS_A_WEEK))
        )

    def slot(self, hour: datetime) -> int:
        """The hour of the week."""
        local = hour.astimezone(self.zone)
        return local.weekday() * HOURS_A_DAY + local.hour

    def hours(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
        """Each hour, or part of one, of [start, end): where it begins, and what it takes, in hours of the mean."""
        at = start
        while at < end:
            following = min(full_hour(at) + HOUR, end)
            yield at, self.factors[self.slot(at)] * ((following - at) / HOUR)
            at = following

    def weight(self, start: datetime, end: datetime) -> float:
        """What [start, end) takes, in hours of the mean."""
        return sum(weight for _, weight in self.hours(start, end))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A season and the hours it was learned from: `usual` are the same hours with what a spike added taken out."""

    season: Season
    slots: tuple[int, ...]
    usual: tuple[float, ...]

    @property
    def weights(self) -> list[float]:
        """The season's factor of each hour."""
        return [self.season.factors[slot] for slot in self.slots]


def rhythm_of(first: datetime, spend: Sequence[float], zone: ZoneInfo, prior: Season | None = None) -> Rhythm:
    """Learns the season from the spend of consecutive hours, of which the first began at `first`."""
    season = Season(zone, prior.factors if prior else Season(zone).factors)
    base = season.factors
    slots = _slots(first, len(spend), season)
    usual: list[float] = list(spend)
    if not any(spend):
        return Rhythm(season, slots, tuple(usual))
    factors = _first_factors(spend, slots, base)
    levels = _first_levels(spend)
    for limit in _LIMITS:
        weights = [factors[slot] for slot in slots]
        expected = [level * weight for level, weight in zip(levels, weights, strict=True)]
        usual = without_spikes(spend, expected, limit)
        levels = _levels(usual, weights)
        factors = _factors(usual, levels, slots, base)
        levels = _levels(usual, [factors[slot] for slot in slots])
    return Rhythm(Season(zone, factors), slots, tuple(usual))


def without_spikes(spend: Sequence[float], expected: Sequence[float], limit: float) -> list[float]:
    """The spend with every hour of a spike put back to what was expected of it.

    What is usual is measured by the tenant's own hours: one with few workflows has hours of ten times the expected
    in every day, and none of them is a spike.
    """
    ratios = [
        0.0 if value <= 0 else value / share if share > 0 else math.inf
        for value, share in zip(spend, expected, strict=True)
    ]
    present = sorted(ratio for ratio in ratios if ratio)
    bound = limit * max(present[len(present) // 2], 1.0) if present else limit
    outlying = [ratio > bound for ratio in ratios]
    sums = [0, *accumulate(outlying)]
    kept = []
    for number, value in enumerate(spend):
        near = sums[min(number + HOURS_A_DAY + 1, len(spend))] - sums[max(number - HOURS_A_DAY, 0)]
        # A single hour of a day that is all there is cannot be told from a level.
        is_spike = outlying[number] and near <= min(_SPIKE_HOURS, len(spend) // 4)
        kept.append(expected[number] if is_spike else value)
    return kept


def _slots(first: datetime, hours: int, season: Season) -> tuple[int, ...]:
    start = first.timestamp()
    return tuple(
        season.slot(datetime.fromtimestamp(start + 3600 * number, season.zone)) for number in range(hours)
    )


def _first_levels(spend: Sequence[float]) -> list[float]:
    """Before a season is known: for each hour the median day of the week around it, which no spike moves."""
    count = len(spend)
    days = [sum(spend[start : start + HOURS_A_DAY]) for start in range(0, count, HOURS_A_DAY)]
    days[-1] *= HOURS_A_DAY / ((count - 1) % HOURS_A_DAY + 1)
    near = [days[max(day - 3, 0) : day + 4] for day in range(len(days))]
    levels = [(median(around) or sum(around) / len(around)) / HOURS_A_DAY for around in near]
    return [levels[number // HOURS_A_DAY] for number in range(count)]


def _first_factors(
    spend: Sequence[float], slots: Sequence[int], base: tuple[float, ...]
) -> tuple[float, ...]:
    """The median of each hour of the day: what comes every night is no spike.

    Where most of the spend is not in those medians, since hours are few or mostly empty, the season to begin with.
    """
    hours: list[list[float]] = [[] for _ in range(HOURS_A_DAY)]
    for value, slot in zip(spend, slots, strict=True):
        hours[slot % HOURS_A_DAY].append(value)
    if len(spend) < 3 * HOURS_A_DAY:
        return base
    medians = [median(values) for values in hours]
    mean = sum(medians) / HOURS_A_DAY
    if mean < 0.3 * sum(spend) / len(spend):
        return base
    return tuple(medians[slot % HOURS_A_DAY] / mean for slot in range(HOURS_A_WEEK))


def _levels(spend: Sequence[float], weights: Sequence[float]) -> list[float]:
    """For each hour the level of the week around it: spend over what the season expects of those hours."""
    spent = [0.0, *accumulate(spend)]
    weighed = [0.0, *accumulate(weights)]
    half, count = HOURS_A_WEEK // 2, len(spend)
    levels = []
    for number in range(count):
        low, high = max(number - half, 0), min(number + half, count)
        weight = weighed[high] - weighed[low]
        levels.append((spent[high] - spent[low]) / weight if weight > 0 else 0.0)
    return levels


def _factors(
    spend: Sequence[float], levels: Sequence[float], slots: Sequence[int], base: Sequence[float]
) -> tuple[float, ...]:
    spent, expected = [0.0] * HOURS_A_WEEK, [0.0] * HOURS_A_WEEK
    for value, level, slot in zip(spend, levels, slots, strict=True):
        spent[slot] += value
        expected[slot] += level
    unit = sum(levels) / len(levels)
    weekdays = _weekday_factors(spent, expected, base, unit)
    hours = []
    for hour in range(HOURS_A_DAY):
        same = range(hour, HOURS_A_WEEK, HOURS_A_DAY)
        prior = sum(base[slot] for slot in same) / len(same)
        level = sum(expected[slot] * weekdays[slot // HOURS_A_DAY] for slot in same)
        hours.append(_drawn(sum(spent[slot] for slot in same), level, prior, _HOUR_OBSERVATIONS * unit))
    factors = [
        _drawn(
            spent[slot],
            expected[slot],
            weekdays[slot // HOURS_A_DAY] * hours[slot % HOURS_A_DAY],
            _SLOT_OBSERVATIONS * unit,
        )
        for slot in range(HOURS_A_WEEK)
    ]
    mean = sum(factors) / HOURS_A_WEEK
    return tuple(factor / mean for factor in factors) if mean > 0 else tuple(base)


def _weekday_factors(
    spent: Sequence[float], expected: Sequence[float], base: Sequence[float], unit: float
) -> list[float]:
    days = [slice(day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY) for day in range(HOURS_A_WEEK // HOURS_A_DAY)]
    factors = []
    for day, hours in enumerate(days):
        alike = days[:5] if day < 5 else days[5:]
        prior = sum(sum(base[one]) for one in alike) / (len(alike) * HOURS_A_DAY)
        of_class = _drawn(
            sum(sum(spent[one]) for one in alike),
            sum(sum(expected[one]) for one in alike),
            prior,
            _CLASS_HOURS * unit,
        )
        factors.append(_drawn(sum(spent[hours]), sum(expected[hours]), of_class, _WEEKDAY_HOURS * unit))
    return factors


def _drawn(spent: float, expected: float, prior: float, pseudo: float) -> float:
    """The ratio, drawn to the prior by a pseudo-amount of spend."""
    return (spent + prior * pseudo) / (expected + pseudo) if expected + pseudo > 0 else prior
