"""What a window will have cost at its end, as an interval, and when a cap will be used up.

Classical decomposition of hourly spend into level, growth and the season of the week (Hyndman and Athanasopoulos,
Forecasting: Principles and Practice, 3rd ed., chapters 3 and 5), each estimated so that a spike shifts none of them:
season.py and level.py have the sources of their parts. What is still to come is drawn many times, with the noise of
days, the doubt about level and growth, and spikes as often as they were seen; the interval is of those draws. The draws
have a fixed seed: equal hours make an equal projection.

Money is micro-dollars. All moments are aware.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from agentplatform.budgets.level import Level, level_of
from agentplatform.budgets.season import HOUR, HOURS_A_DAY, Rhythm, Season, full_hour, rhythm_of

HISTORY = timedelta(weeks=8)
HORIZON = timedelta(days=62)
COVERAGE = 0.8
_DRAWS = 400
_SEASON_DOUBT_HOURS = (
    0.15  # how far off the season may be by now, in hours of the mean: night says little of a day
)


@dataclass(frozen=True, slots=True)
class Projection:
    """Of a window, in micro-dollars: spent so far, and what it will be at the end; low to high holds with 80%."""

    spent_usd_micros: int
    expected_usd_micros: int
    low_usd_micros: int
    high_usd_micros: int
    days_of_history: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known at `now` of one tenant's (or key's, or the platform's) spend to come."""

    now: datetime
    rhythm: Rhythm
    level: Level
    spikes: tuple[float, ...]  # micro-dollars that each day with a spike had too many
    today: float  # the factor of the rest of today: a busy morning is mostly a busy day
    hours: tuple[tuple[datetime, float], ...]

    @property
    def season(self) -> Season:
        return self.rhythm.season

    @property
    def days_of_history(self) -> float:
        return len(self.rhythm.slots) / HOURS_A_DAY

    def spent(self, start: datetime, end: datetime) -> float:
        """The known spend of [start, end); of an hour that lies across a bound, its share."""
        return sum(spend * _share(hour, start, end) for hour, spend in self.hours)

    def ahead(self, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        """The expected spend of each hour, or part of one, from `start` to `end`, without spikes."""
        zone = self.season.zone
        tomorrow = datetime.combine(
            self.now.astimezone(zone).date() + timedelta(days=1), datetime.min.time(), zone
        ).astimezone(UTC)
        return [
            (
                hour,
                self.level.ahead((hour - self.now) / timedelta(days=1))
                / HOURS_A_DAY
                * weight
                * (self.today if hour < tomorrow else 1.0),
            )
            for hour, weight in self.season.hours(start, end)
        ]

    def project(self, start: datetime, end: datetime, spent_usd_micros: int | None = None) -> Projection:
        """Projects the window [start, end). `spent_usd_micros` is what its counter says, if there is one."""
        known = self.spent(start, end) if spent_usd_micros is None else spent_usd_micros
        hours = self.ahead(max(start, self.now), end)
        expected = known + sum(value for _, value in hours) + self._spikes_expected(hours)
        low, high = self._interval(hours)
        return Projection(
            spent_usd_micros=round(known),
            expected_usd_micros=round(expected),
            low_usd_micros=round(min(known + low, expected)),
            high_usd_micros=round(max(known + high, expected)),
            days_of_history=self.days_of_history,
        )

    def runs_out_at(
        self, cap_usd_micros: int, spent_usd_micros: int, until: datetime | None = None
    ) -> datetime | None:
        """The start of the hour in which the expected path reaches the cap; None if not before `until`.

        `until` is the window's end, and at most 62 days ahead. A cap that is used up runs out now.
        """
        left = float(cap_usd_micros - spent_usd_micros)
        if left <= 0:
            return self.now
        for hour, value in self.ahead(self.now, min(until or self.now + HORIZON, self.now + HORIZON)):
            left -= value
            if left <= 0:
                return hour
        return None

    def _spike_rate(self) -> float:
        """Spikes a day; the first one that was seen is an accident and not counted."""
        return max(len(self.spikes) - 1, 0) / max(self.days_of_history, 14.0)

    def _spikes_expected(self, hours: Sequence[tuple[datetime, float]]) -> float:
        days = _days(hours)
        return self._spike_rate() * days * sum(self.spikes) / len(self.spikes) if self.spikes else 0.0

    def _interval(self, hours: Sequence[tuple[datetime, float]]) -> tuple[float, float]:
        total, days = sum(value for _, value in hours), _days(hours)
        if total <= 0:
            return 0.0, 0.0
        sigma = math.sqrt(math.log1p(self.level.mean_variance(1 / _concentration(hours))))
        rate = len(self.spikes) / max(self.days_of_history, 14.0) * days
        chance, draws = Random(0), []
        for _ in range(_DRAWS):
            drawn = total * math.exp(chance.gauss(0, sigma))
            drawn += sum(chance.choice(self.spikes) for _ in range(_arrivals(chance, rate)))
            draws.append(drawn)
        draws.sort()
        tail = (1 - COVERAGE) / 2
        return draws[int(_DRAWS * tail)], draws[int(_DRAWS * (1 - tail))]


def forecast(
    hours: Iterable[tuple[datetime, int]], now: datetime, zone: ZoneInfo, prior: Season | None = None
) -> Forecast:
    """Learns from hourly spend: (start of a full hour, micro-dollars), in any order; hours that lack had none.

    At most eight weeks before `now` are used. `prior` is the season to begin with where there is little history, such
    as the whole platform's; none means that all hours are alike.
    """
    current = full_hour(now)
    known: dict[datetime, float] = {}
    for hour, usd_micros in hours:
        if now - HISTORY - timedelta(days=7) <= hour < now:
            known[hour] = known.get(hour, 0.0) + usd_micros
    first = min((hour for hour, value in known.items() if value and hour >= now - HISTORY), default=current)
    count = int((current - first) / HOUR)
    spend = [known.get(first + number * HOUR, 0.0) for number in range(count)]
    if not count:
        # Less than an hour is known: it is taken for a full one.
        first, spend = current, [known.get(current, 0.0)]
    rhythm = rhythm_of(first, spend, zone, prior)
    level = level_of(*_days_back(rhythm))
    return Forecast(
        now=now,
        rhythm=rhythm,
        level=level,
        spikes=_spike_days(spend, rhythm),
        today=_today(first, rhythm, level, now),
        hours=tuple(sorted(known.items())),
    )


def _days_back(rhythm: Rhythm) -> tuple[list[float], list[float]]:
    """Spend a day without season, in periods of 24 hours back from now, and the share of each that was seen."""
    days, shares = [], []
    weights = rhythm.weights
    for end in range(len(weights), 0, -HOURS_A_DAY):
        start = max(end - HOURS_A_DAY, 0)
        weight = sum(weights[start:end])
        days.append(HOURS_A_DAY * sum(rhythm.usual[start:end]) / weight if weight > 0 else 0.0)
        shares.append(min(weight / HOURS_A_DAY, 1.0))
    return days, shares


def _spike_days(spend: Sequence[float], rhythm: Rhythm) -> tuple[float, ...]:
    """What each day with spikes had above the usual."""
    excess = [value - usual for value, usual in zip(spend, rhythm.usual, strict=True)]
    days = (sum(excess[start : start + HOURS_A_DAY]) for start in range(0, len(excess), HOURS_A_DAY))
    return tuple(day for day in days if day > 0)


def _today(first: datetime, rhythm: Rhythm, level: Level, now: datetime) -> float:
    """How much the rest of today is expected to be above or below the usual, from what today has been so far."""
    zone = rhythm.season.zone
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = min(int((full_hour(now) - midnight.astimezone(UTC)) / HOUR), len(rhythm.usual))
    weights = rhythm.weights[-hours:] if hours > 0 else []
    weight = sum(weights)
    if weight <= 0 or level.a_day <= 0 or len(rhythm.usual) <= 3 * HOURS_A_DAY:
        return 1.0
    seen = sum(rhythm.usual[-hours:]) / (weight * level.a_day / HOURS_A_DAY)
    noise = _hour_noise(rhythm, level) ** 2 * sum(one**2 for one in weights) / weight**2
    noise += (_SEASON_DOUBT_HOURS / weight) ** 2
    trusted = level.noise**2 / (level.noise**2 + noise)
    return min(max(1 + trusted * (seen - 1), 0.3), 3.0)


def _hour_noise(rhythm: Rhythm, level: Level) -> float:
    """The standard deviation of an hour about its season in the last week, relative."""
    hours = list(zip(rhythm.usual, rhythm.weights, strict=True))[-168:]
    mean = level.a_day / HOURS_A_DAY
    squares = sum((spend - mean * weight) ** 2 for spend, weight in hours)
    return math.sqrt(squares / sum((mean * weight) ** 2 for _, weight in hours))


def _concentration(hours: Sequence[tuple[datetime, float]]) -> float:
    """In how few days the expected spend lies: 1 for a single day, 1/n for n equal ones (Herfindahl's index)."""
    days: dict[int, float] = {}
    for hour, value in hours:
        day = int((hour - hours[0][0]) / timedelta(days=1))
        days[day] = days.get(day, 0.0) + value
    return sum(value**2 for value in days.values()) / sum(days.values()) ** 2


def _days(hours: Sequence[tuple[datetime, float]]) -> float:
    return len(hours) / HOURS_A_DAY


def _arrivals(chance: Random, mean: float) -> int:
    """How many spikes come, by Poisson's law."""
    count, product, limit = 0, chance.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= chance.random()
    return count


def _share(hour: datetime, start: datetime, end: datetime) -> float:
    return max((min(hour + HOUR, end) - max(hour, start)) / HOUR, 0.0)
