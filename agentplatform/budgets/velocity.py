"""Alerts on the pace at which a window's money burns, long before it is gone.

Multiwindow, multi-burn-rate alerts (The Site Reliability Workbook, 2018, chapter 5): a long window says that it matters,
a short one that it goes on. A burn rate of 1 uses exactly what is left of the cap by the end of the window. Both sides
are measured in the season's hours, not the clock's: a tenant that spends by day alone does not burn at noon.

Money is micro-dollars. All moments are aware.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from agentplatform.budgets.season import HOUR, Season

_KNOWN_AFTER_DAYS = 7.0


class Burn(StrEnum):
    """Fast: gone within hours. Slow: gone well before the end of the window."""

    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class BurnPolicy:
    """Alerts when both windows burn at `rate` or more."""

    kind: Burn
    long: timedelta
    short: timedelta
    rate: float


# Of a month: 2% of what is left in an hour, 5% in six, as in the source. A day is too short for such rates.
MONTH = (
    BurnPolicy(Burn.FAST, timedelta(hours=1), timedelta(minutes=5), 14.4),
    BurnPolicy(Burn.SLOW, timedelta(hours=6), timedelta(minutes=30), 6.0),
)
DAY = (
    BurnPolicy(Burn.FAST, timedelta(hours=1), timedelta(minutes=5), 6.0),
    BurnPolicy(Burn.SLOW, timedelta(hours=6), timedelta(minutes=30), 2.0),
)
_LONGEST_DAY = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class Alert:
    """How fast it burns, what that makes an hour, by how much the cap would be passed, and when it is used up."""

    kind: Burn
    rate: float
    pace_usd_micros_an_hour: int
    projected_overage_usd_micros: int
    runs_out_at: datetime


def policies_of(now: datetime, end: datetime) -> Sequence[BurnPolicy]:
    """The alerts of a window that ends at `end`: those of a day, also on a month's last one, or of anything longer."""
    return DAY if end - now <= _LONGEST_DAY else MONTH


def alerts(
    *,
    end: datetime,
    now: datetime,
    left_usd_micros: int,
    spent_since: Callable[[datetime], int],
    season: Season,
    days_of_history: float,
) -> list[Alert]:
    """The alerts at `now` of the window that ends at `end`, the most urgent first; none when nothing is left to burn.

    `spent_since` gives the spend from a moment until `now`, also from before the window. Until a week is known, the
    rhythm of a day may pass for a burst, and up to twice the rate is asked for.
    """
    if left_usd_micros <= 0 or end <= now:
        return []
    caution = 1 + max(1 - days_of_history / _KNOWN_AFTER_DAYS, 0.0)
    rest = season.weight(now, end)
    found = []
    for policy in policies_of(now, end):
        spent = spent_since(now - policy.long)
        long = _level(season, spent, now - policy.long, now) * rest / left_usd_micros
        if long < policy.rate * caution:
            continue
        recent = _level(season, spent_since(now - policy.short), now - policy.short, now)
        if recent * rest / left_usd_micros < policy.rate * caution:
            continue
        found.append(
            Alert(
                kind=policy.kind,
                rate=long,
                pace_usd_micros_an_hour=round(spent / (policy.long / HOUR)),
                projected_overage_usd_micros=round((long - 1) * left_usd_micros),
                runs_out_at=_runs_out_at(season, long, left_usd_micros / rest, left_usd_micros, now, end),
            )
        )
    return found


def _level(season: Season, spent: int, start: datetime, end: datetime) -> float:
    """Micro-dollars in an hour of the mean. In quiet hours the clock's hours count: one call at night is no flood."""
    return spent / max(season.weight(start, end), (end - start) / HOUR)


def _runs_out_at(
    season: Season, rate: float, even: float, left: float, now: datetime, end: datetime
) -> datetime:
    """When what is left is used up at `rate` times the even level."""
    for hour, weight in season.hours(now, end):
        used = rate * even * weight
        if used >= left > 0:
            return min(hour + HOUR * (left / used if used else 1.0), end)
        left -= used
    return end
