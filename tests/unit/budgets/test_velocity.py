"""Burn alerts: what is urgent, what goes on, and what is only noon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplatform.budgets.projection import forecast
from agentplatform.budgets.season import Season
from agentplatform.budgets.velocity import Alert, Burn, alerts
from tests.synthetic_months import WEEKS, Habits, Spend, spend

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2026, 6, 1, tzinfo=UTC)
END = datetime(2026, 7, 1, tzinfo=UTC)
FLAT = Season(ZoneInfo("UTC"))
USD = 1_000_000


def burning(
    bursts: Sequence[tuple[timedelta, timedelta, int]],
    *,
    left: int = 720 * USD,
    end: datetime = END,
    now: datetime = START,
    season: Season = FLAT,
    days_of_history: float = 56,
) -> list[Alert]:
    """The alerts at `now` of a stream: (from so long ago, until so long ago, micro-dollars an hour)."""

    def spent_since(moment: datetime) -> int:
        return round(
            sum(
                an_hour * max((now - until - max(moment, now - since)) / HOUR, 0.0)
                for since, until, an_hour in bursts
            )
        )

    return alerts(
        end=end,
        now=now,
        left_usd_micros=left,
        spent_since=spent_since,
        season=season,
        days_of_history=days_of_history,
    )


def since(hours: float, usd_an_hour: int) -> list[tuple[timedelta, timedelta, int]]:
    return [(hours * HOUR, timedelta(), usd_an_hour * USD)]


def test_the_even_pace_is_no_alert() -> None:
    """A dollar an hour of 720 dollars for 720 hours; nor is five times that, for an hour."""
    assert burning(since(48, 1)) == []
    assert burning(since(1, 5)) == []


def test_a_fast_burn_says_when_the_money_is_gone() -> None:
    """Twenty dollars an hour: 36 hours, and an overage of nineteen caps."""
    (alert,) = burning(since(1, 20))
    assert alert.kind is Burn.FAST
    assert alert.rate == pytest.approx(20)
    assert alert.pace_usd_micros_an_hour == 20 * USD
    assert alert.runs_out_at == START + 36 * HOUR
    assert alert.projected_overage_usd_micros == 19 * 720 * USD


def test_a_slow_burn_takes_hours_to_be_seen() -> None:
    """Eight times the even pace is told after five of six hours at the earliest, and never as fast."""
    assert burning(since(4, 8)) == []
    assert [alert.kind for alert in burning(since(6, 8))] == [Burn.SLOW]


def test_what_is_over_is_no_alert() -> None:
    """The hour was bad, but the last five minutes were not; and half an hour for the slow one."""
    assert burning([(HOUR, timedelta(minutes=6), 35 * USD)]) == []
    assert burning([(6 * HOUR, timedelta(minutes=31), 10 * USD)]) == []


def test_five_minutes_are_no_fast_burn() -> None:
    """One dear call does not wake anybody."""
    assert burning(since(1 / 12, 100)) == []


def test_what_is_left_counts_and_not_the_cap() -> None:
    """The same pace is fast when little is left, and no alert when the window is nearly over."""
    assert burning(since(1, 5), left=72 * USD)[0].kind is Burn.FAST
    assert burning(since(1, 5), left=72 * USD, now=END - 4 * HOUR) == []


def test_nothing_left_or_nothing_to_come_is_no_alert() -> None:
    """What is used up is told by the thresholds."""
    assert burning(since(1, 500), left=0) == []
    assert burning(since(1, 500), now=END) == []


def test_a_day_has_rates_of_its_own() -> None:
    """24 dollars for a day: six times the even pace for an hour is fast, fourteen would take all of it."""
    day = {"left": 24 * USD, "end": START + DAY}
    assert [alert.kind for alert in burning(since(1, 7), **day)] == [Burn.FAST]  # type: ignore[arg-type]
    assert burning(since(1, 4), **day) == []  # type: ignore[arg-type]


def test_the_last_day_of_a_month_has_the_rates_of_a_day() -> None:
    """What is left would be gone in three of 24 hours; with more days to come that were a slow burn at most."""
    month = {"left": 24 * USD, "now": END - DAY}
    assert [alert.kind for alert in burning(since(1, 8), **month)] == [Burn.FAST]  # type: ignore[arg-type]
    assert burning(since(1, 4), **month) == []  # type: ignore[arg-type]
    assert burning(since(1, 8), left=5 * 24 * USD, now=END - 5 * DAY) == []


def test_while_little_is_known_more_is_asked_for() -> None:
    """On the first day a pace must be twice as bad, since it may be the rhythm of a day."""
    assert burning(since(1, 20), days_of_history=0) == []
    assert burning(since(1, 30), days_of_history=0) != []


def office(**more: Any) -> Spend:
    habits = {"week": WEEKS[0], "rhythm": 2.2, "day_noise": 0.05, "hour_noise": 0.2, **more}
    return spend(1, Habits(**habits))


def watched(
    tenant: Spend, caps: Mapping[datetime, int], runaway: Mapping[datetime, int] | None = None
) -> list[tuple[datetime, Alert]]:
    """Every alert of the month, looked for each hour, with a forecast each day. `caps` are by the windows' starts."""
    spends = {**dict(tenant.hours), **(runaway or {})}
    ends = dict(zip(caps, [*list(caps)[1:], tenant.month_end], strict=True))
    found, now, known = [], tenant.month_start, forecast([], tenant.month_start, tenant.zone)
    while now < tenant.month_end:
        if now in caps:
            start, spent = now, 0
        if now.hour == 0:
            known = forecast([(hour, usd) for hour, usd in spends.items() if hour < now], now, tenant.zone)

        def spent_since(moment: datetime, now: datetime = now) -> int:
            ages = range(1, 8)
            parts = [max(min((now - (age - 1) * HOUR - moment) / HOUR, 1.0), 0.0) for age in ages]
            return round(
                sum(spends.get(now - age * HOUR, 0) * part for age, part in zip(ages, parts, strict=True))
            )

        told = alerts(
            end=ends[start],
            now=now,
            left_usd_micros=caps[start] - spent,
            spent_since=spent_since,
            season=known.season,
            days_of_history=known.days_of_history,
        )
        found += [(now, alert) for alert in told]
        spent += spends.get(now, 0)
        now += HOUR
    return found


def month_cap(tenant: Spend, times: float) -> dict[datetime, int]:
    return {tenant.month_start: round(times * tenant.between(tenant.month_start, tenant.month_end))}


def test_a_nightly_job_of_a_whole_day_is_no_burn() -> None:
    """One hour of the night has most of the day's spend, twenty times the mean, every night."""
    tenant = office(nightly_share=0.8)
    assert watched(tenant, month_cap(tenant, 1.1)) == []


def test_a_day_of_office_hours_does_not_alert_at_noon() -> None:
    """Each day's cap is just above what the day will have cost; noon has four times the mean hour."""
    tenant = office()
    days = [tenant.month_start + number * DAY for number in range(31)]
    caps = {day: round(1.15 * tenant.between(day, day + DAY)) for day in days if day < tenant.month_end}
    assert watched(tenant, caps) == []


def test_a_runaway_in_an_office_month_is_told_within_the_hour() -> None:
    """An agent that loops from Wednesday noon on, at forty times the usual."""
    tenant = office()
    noon = tenant.month_start + 10 * DAY + 12 * HOUR
    usual = dict(tenant.hours)
    runaway = {noon + number * HOUR: 40 * usual[noon] for number in range(3)}
    found = watched(tenant, month_cap(tenant, 2), runaway)
    assert found[0][0] == noon + HOUR
    assert found[0][1].kind is Burn.FAST
    assert {moment.date() for moment, _ in found} == {noon.date()}


@settings(max_examples=60, deadline=None)
@given(
    hours=st.floats(0.01, 48),
    usd_an_hour=st.integers(0, 1000),
    left=st.integers(1, 2000 * USD),
    hours_in=st.floats(0, 719.9),
)
def test_an_alert_always_means_an_overage(hours: float, usd_an_hour: int, left: int, hours_in: float) -> None:
    """It runs out within the window, and by the end there would be more than the cap."""
    now = START + hours_in * HOUR
    for alert in burning(since(hours, usd_an_hour), left=left, now=now):
        assert alert.projected_overage_usd_micros > 0
        assert now <= alert.runs_out_at <= END
