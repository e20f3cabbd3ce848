"""`make bench-projection`: how far off the projection of days and months is, beside a linear one.

The tenants are synthetic (tests/synthetic_months.py), seeded, and others than those that the settings were chosen on.
A linear projection is the spend so far divided by the share of the time that has passed. The floor is the error of one
who knows the tenant's habits exactly and lacks only the noise, spikes and holidays still to come: nobody can do better.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from rich.table import Table

from agentplatform.budgets.projection import forecast
from tests.synthetic_months import Spend, habits, spend

RESULTS = Path("benchmarks/projection.json")
REPORTED = range(7001, 7201)
TUNING = range(1001, 1201)  # what the settings were chosen on: `python -m tests.benchmarks.projection tuning`
HISTORIES = (56, 14, 0)
DAYS = (3, 7, 15, 22)
HOURS = (6, 12, 18)


@dataclass(frozen=True, slots=True)
class Row:
    """One projection of one tenant: absolute errors as shares of what it was, and whether the interval held it."""

    history_days: int
    at: str
    error: float
    linear_error: float
    floor: float
    is_covered: bool


def measure(seeds: Iterable[int]) -> list[Row]:
    """Projects every tenant's month on the days, and its day 15 at the hours."""
    rows = []
    for seed in seeds:
        tenant, habit = spend(seed), spend(seed, habits(seed).without_chance())
        day = tenant.month_start + timedelta(days=14)
        for history in HISTORIES:
            for days in DAYS:
                now = tenant.month_start + timedelta(days=days)
                month = (tenant.month_start, now, tenant.month_end)
                rows.append(_row(tenant, habit, history, f"day {days}", month))
            for hour in HOURS:
                now = day + timedelta(hours=hour)
                today = (day, now, day + timedelta(days=1))
                rows.append(_row(tenant, habit, history, f"{hour}:00", today))
    return [row for row in rows if row is not None]


def _row(
    tenant: Spend, habit: Spend, history: int, at: str, window: tuple[datetime, datetime, datetime]
) -> Row | None:
    start, now, end = window
    projected = forecast(tenant.until(now, history), now, tenant.zone).project(start, end)
    actual, spent = tenant.between(start, end), tenant.between(start, now)
    if not actual:
        return None
    return Row(
        history,
        at,
        error=abs(projected.expected_usd_micros - actual) / actual,
        linear_error=abs(spent / ((now - start) / (end - start)) - actual) / actual,
        floor=abs(spent + habit.between(now, end) - actual) / actual,
        is_covered=projected.low_usd_micros <= actual <= projected.high_usd_micros,
    )


def summary(rows: Sequence[Row]) -> list[dict[str, float | int | str]]:
    """For each history and moment: median and mean error of both, their ratio, and the interval's coverage."""
    summed: list[dict[str, float | int | str]] = []
    for history, at in dict.fromkeys((row.history_days, row.at) for row in rows):
        mine = [row for row in rows if (row.history_days, row.at) == (history, at)]
        errors, linear = [row.error for row in mine], [row.linear_error for row in mine]
        summed.append(
            {
                "history_days": history,
                "at": at,
                "median_error": median(errors),
                "mean_error": fmean(errors),
                "linear_median_error": median(linear),
                "linear_mean_error": fmean(linear),
                "floor_mean_error": fmean(row.floor for row in mine),
                "ratio_of_medians": median(errors) / median(linear),
                "ratio_of_means": fmean(errors) / fmean(linear),
                "coverage": fmean(row.is_covered for row in mine),
            }
        )
    return summed


def main() -> None:
    """Measures, prints a table and writes the results."""
    is_tuning = sys.argv[1:] == ["tuning"]
    seeds = TUNING if is_tuning else REPORTED
    summed = summary(measure(seeds))
    table = Table(title=f"{len(seeds)} synthetic tenants, absolute error of the projection, in percent")
    for name in summed[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in summed:
        table.add_row(
            *(f"{100 * value:.1f}" if isinstance(value, float) else str(value) for value in row.values())
        )
    Console(width=140).print(table)
    if not is_tuning:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(summed, indent=2) + "\n")


if __name__ == "__main__":
    main()
