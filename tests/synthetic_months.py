"""Seeded tenants that spend as real ones do: weeks, days, growth, noise, spikes, holidays, changes of level.

One seed makes one tenant, always the same one. No model of it is fitted anywhere: what projects does not know how
these hours were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

HISTORY_DAYS = 56
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "America/Los_Angeles", "Asia/Kolkata")
# Monday first. A company's week, one that never sleeps, one of people who buy on weekends.
WEEKS = (
    (1.0, 1.08, 1.1, 1.05, 0.92, 0.22, 0.18),
    (1.0, 1.0, 1.02, 1.0, 0.99, 0.95, 0.93),
    (0.9, 0.88, 0.92, 1.0, 1.15, 1.35, 1.3),
)


@dataclass(frozen=True, slots=True)
class Spend:
    """The spend of one synthetic tenant: `hours` are (start of the hour UTC, micro-dollars), oldest first.

    They cover the history before `month_start` and the month [month_start, month_end) of the tenant's zone.
    """

    zone: ZoneInfo
    month_start: datetime
    month_end: datetime
    hours: Sequence[tuple[datetime, int]]

    def between(self, start: datetime, end: datetime) -> int:
        """The spend of [start, end); both are full hours."""
        return sum(spend for hour, spend in self.hours if start <= hour < end)

    def until(self, now: datetime, history_days: int = HISTORY_DAYS) -> list[tuple[datetime, int]]:
        """What is known at the full hour `now`, of a tenant that came `history_days` before the month."""
        first = self.month_start - timedelta(days=history_days)
        return [(hour, spend) for hour, spend in self.hours if first <= hour < now]


@dataclass(slots=True)
class Habits:
    """How one tenant spends. The defaults are a plain tenant without noise, spikes, holidays or growth."""

    usd_a_day: float = 100.0
    week: tuple[float, ...] = WEEKS[1]
    peak_hour: float = 14.0
    rhythm: float = 1.5  # 0: the same at all hours; 2: hardly anything at night
    growth_a_month: float = 0.0
    day_noise: float = 0.0  # sigma of the logarithm, correlated from day to day
    hour_noise: float = 0.0
    workflows_a_day: float | None = None  # few workflows make gaps; None: a smooth stream
    spikes_a_month: float = 0.0
    holidays_a_month: float = 0.0
    nightly_share: float = 0.0  # of a day's spend in one hour of the night
    level_shift: float = 1.0  # the factor of a lasting change at `shift_day` of history
    shift_day: int = 0
    zone: str = "UTC"
    month: date = field(default_factory=lambda: date(2026, 3, 1))

    def without_chance(self) -> Habits:
        """The same habits, without noise, spikes and holidays."""
        return replace(
            self,
            day_noise=0.0,
            hour_noise=0.0,
            workflows_a_day=None,
            spikes_a_month=0.0,
            holidays_a_month=0.0,
        )


def habits(seed: int) -> Habits:
    """A tenant as it might be."""
    chance = Random(f"habits-{seed}")
    business = chance.random()
    return Habits(
        usd_a_day=math.exp(chance.gauss(3.0, 1.2)),
        week=WEEKS[0] if business < 0.6 else WEEKS[1] if business < 0.85 else WEEKS[2],
        peak_hour=chance.uniform(10, 17),
        rhythm=chance.uniform(0.4, 2.2),
        growth_a_month=chance.uniform(-0.2, 0.8),
        day_noise=chance.uniform(0.04, 0.16),
        hour_noise=chance.uniform(0.1, 0.4),
        workflows_a_day=None if chance.random() < 0.6 else math.exp(chance.uniform(2.3, 6.0)),
        spikes_a_month=chance.choice((0.0, 0.0, 0.5, 1.0, 2.0)),
        holidays_a_month=chance.choice((0.0, 0.5, 1.0)),
        nightly_share=chance.uniform(0.05, 0.3) if chance.random() < 0.2 else 0.0,
        level_shift=math.exp(chance.choice((-1, 1)) * chance.uniform(0.4, 1.0))
        if chance.random() < 0.1
        else 1.0,
        shift_day=chance.randrange(10, 50),
        zone=chance.choice(ZONES),
        month=date(2026, chance.randrange(3, 12), 1),
    )


def spend(seed: int, habit: Habits | None = None) -> Spend:
    """The hours of the tenant of this seed, or of one with these habits and this seed's chance."""
    habit = habit or habits(seed)
    chance = Random(f"spend-{seed}")
    zone = ZoneInfo(habit.zone)
    month_start = datetime(habit.month.year, habit.month.month, 1, tzinfo=zone).astimezone(UTC)
    following = habit.month.replace(day=28) + timedelta(days=7)
    month_end = datetime(following.year, following.month, 1, tzinfo=zone).astimezone(UTC)
    first = _full_hour(month_start - timedelta(days=HISTORY_DAYS))
    hours = [
        first + timedelta(hours=number) for number in range(int((month_end - first) / timedelta(hours=1)) + 1)
    ]
    days = _days(habit, chance, [hour.astimezone(zone).date() for hour in hours])
    spikes = _spikes(habit, chance, len(hours))
    nightly_hour = Random(f"nightly-{seed}").randrange(0, 5)
    values = []
    for number, hour in enumerate(hours):
        local = hour.astimezone(zone)
        usd = habit.usd_a_day * days[local.date()] * _hour_share(habit, local.hour, nightly_hour)
        values.append((hour, int(1_000_000 * _noisy(habit, chance, usd) * spikes.get(number, 1.0))))
    return Spend(zone, _full_hour(month_start), _full_hour(month_end), values)


def _full_hour(moment: datetime) -> datetime:
    """Of zones that are half an hour off, the hour that the ledger's rollup would have."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _days(habit: Habits, chance: Random, dates: Sequence[date]) -> dict[date, float]:
    """The factor of each day: week, growth, holiday, change of level, and a mood that lasts for days."""
    factors: dict[date, float] = {}
    mood = chance.gauss(0, habit.day_noise)
    for number, day in enumerate(sorted(set(dates))):
        mood = 0.4 * mood + math.sqrt(1 - 0.4**2) * chance.gauss(0, habit.day_noise)
        holiday = day.weekday() < 5 and chance.random() < habit.holidays_a_month / 22
        factors[day] = (
            (0.25 if holiday else habit.week[day.weekday()])
            * (1 + habit.growth_a_month) ** ((number - HISTORY_DAYS) / 30)
            * (habit.level_shift if number >= habit.shift_day else 1.0)
            * math.exp(mood)
        )
    return factors


def _hour_share(habit: Habits, hour: int, nightly_hour: int) -> float:
    weights = [
        math.exp(habit.rhythm * math.cos((one - habit.peak_hour) * math.tau / 24)) for one in range(24)
    ]
    share = weights[hour] / sum(weights)
    return share * (1 - habit.nightly_share) + (habit.nightly_share if hour == nightly_hour else 0.0)


def _spikes(habit: Habits, chance: Random, hours: int) -> dict[int, float]:
    """For each hour of a spike, its factor: a loop that runs wild for some hours."""
    factors: dict[int, float] = {}
    for hour in range(hours):
        if chance.random() < habit.spikes_a_month / 720:
            factor = chance.uniform(4, 15)
            factors.update({hour + more: factor for more in range(chance.randrange(1, 7))})
    return factors


def _noisy(habit: Habits, chance: Random, usd: float) -> float:
    noise = math.exp(chance.gauss(0, habit.hour_noise) - habit.hour_noise**2 / 2) if habit.hour_noise else 1.0
    if habit.workflows_a_day is None:
        return usd * noise
    each = habit.usd_a_day / habit.workflows_a_day
    return sum(each * math.exp(chance.gauss(-0.32, 0.8)) for _ in range(_poisson(chance, usd * noise / each)))


def _poisson(chance: Random, mean: float) -> int:
    if mean > 60:
        return max(round(chance.gauss(mean, math.sqrt(mean))), 0)
    count, product, limit = 0, chance.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= chance.random()
    return count
