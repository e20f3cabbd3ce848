"""Projections of synthetic tenants: seasons, growth, spikes, little history, caps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplatform.budgets.projection import HORIZON, Forecast, forecast
from agentplatform.budgets.season import Season
from tests.synthetic_months import WEEKS, Habits, Spend, habits, spend

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Habits(week=WEEKS[0], rhythm=2.0, zone="Europe/Berlin")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def known(tenant: Spend, now: datetime, history_days: int = 56) -> Forecast:
    return forecast(tenant.until(now, history_days), now, tenant.zone)


def off_by(tenant: Spend, now: datetime, history_days: int = 56) -> float:
    """The error of the month's projection, as a share of what the month became."""
    projected = known(tenant, now, history_days).project(tenant.month_start, tenant.month_end)
    actual = tenant.between(tenant.month_start, tenant.month_end)
    return projected.expected_usd_micros / actual - 1


@pytest.mark.parametrize("days", [1, 3, 8, 20])
def test_a_month_without_chance_is_known_from_its_first_days(days: int) -> None:
    """Weekends, nights, growth and the change to summer time in March are all foreseen to 3%."""
    tenant = spend(1, Habits(week=WEEKS[0], rhythm=2.0, growth_a_month=0.3, zone="Europe/Berlin"))
    assert abs(off_by(tenant, tenant.month_start + days * DAY)) < 0.03


@pytest.mark.parametrize("hour", [3, 9, 12, 18])
def test_a_day_is_projected_by_its_hours_and_not_by_the_clock(hour: int) -> None:
    """At nine hardly anything of an office's day has been spent."""
    tenant = spend(2, OFFICE)
    start = tenant.month_start + 10 * DAY
    projected = known(tenant, start + hour * HOUR).project(start, start + DAY)
    assert projected.expected_usd_micros == pytest.approx(tenant.between(start, start + DAY), rel=0.02)


def test_a_busy_morning_is_a_busy_day() -> None:
    """When today has been half as much again by noon, the rest of today is raised too, and tomorrow hardly."""
    tenant = spend(3, Habits(rhythm=1.0, day_noise=0.2, hour_noise=0.2))
    noon = tenant.month_start + 14 * DAY + 12 * HOUR
    busy = [(hour, usd * 3 // 2 if hour >= noon - 12 * HOUR else usd) for hour, usd in tenant.until(noon)]
    usual, raised = known(tenant, noon), forecast(busy, noon, tenant.zone)

    def rest(known: Forecast, start: datetime, end: datetime) -> float:
        return sum(value for _, value in known.ahead(start, end))

    midnight = noon + 12 * HOUR
    assert rest(raised, noon, midnight) > 1.2 * rest(usual, noon, midnight)
    assert rest(raised, midnight, midnight + DAY) < 1.1 * rest(usual, midnight, midnight + DAY)


@pytest.mark.parametrize("age_days", [0, 3, 20])
@pytest.mark.parametrize("hours", [1, 6])
def test_one_spike_is_neither_extrapolated_nor_taken_for_a_season(age_days: int, hours: int) -> None:
    """Twelve times the usual for some hours adds what it cost, and no more."""
    tenant = spend(4, Habits(week=WEEKS[0], rhythm=1.0, day_noise=0.1, hour_noise=0.2))
    now = tenant.month_start + 15 * DAY + 16 * HOUR
    spike = [now - age_days * DAY - hours * HOUR + number * HOUR for number in range(hours)]
    spiked = [(hour, usd * 12 if hour in spike else usd) for hour, usd in tenant.until(now)]
    usual = known(tenant, now)
    hit = forecast(spiked, now, tenant.zone)
    ahead = sum(value for _, value in usual.ahead(now, tenant.month_end))
    ahead_after = sum(value for _, value in hit.ahead(now, tenant.month_end))
    assert ahead_after == pytest.approx(ahead, rel=0.04)
    for slot, factor in enumerate(usual.season.factors):
        assert hit.season.factors[slot] == pytest.approx(factor, rel=0.25)
    extra = sum(usd for _, usd in spiked) - sum(usd for _, usd in tenant.until(now))
    start = now - 25 * DAY
    without = usual.project(start, tenant.month_end).expected_usd_micros
    expected = hit.project(start, tenant.month_end).expected_usd_micros
    assert expected - without == pytest.approx(extra, rel=0.15, abs=0.04 * ahead)


def test_a_lasting_change_of_level_is_believed_after_some_days() -> None:
    """Three times as much since six days is the new level, and the weekend before it still teaches the season."""
    tenant = spend(5, Habits(week=WEEKS[0], rhythm=1.0, day_noise=0.08, level_shift=3.0, shift_day=60))
    assert abs(off_by(tenant, tenant.month_start + 10 * DAY)) < 0.12


def test_growth_is_foreseen() -> None:
    """On day 3 a linear projection does not know that this tenant grows by two thirds a month."""
    tenants = [spend(seed, Habits(growth_a_month=0.66, day_noise=0.08)) for seed in range(6)]
    assert fmean(abs(off_by(tenant, tenant.month_start + 3 * DAY)) for tenant in tenants) < 0.12


def test_half_the_linear_error_in_mid_month() -> None:
    """Two dozen tenants as they might be, of other seeds than those of tuning and report; what is asked for is 0.7."""
    mine, linear, held = [], [], []
    for seed in range(2001, 2025):
        tenant = spend(seed)
        now = tenant.month_start + 15 * DAY
        start, end = tenant.month_start, tenant.month_end
        actual = tenant.between(start, end)
        projected = known(tenant, now).project(start, end)
        mine.append(abs(projected.expected_usd_micros / actual - 1))
        linear.append(abs(tenant.between(start, now) / ((now - start) / (end - start)) / actual - 1))
        held.append(projected.low_usd_micros <= actual <= projected.high_usd_micros)
    assert median(mine) < 0.7 * median(linear)
    assert 0.65 <= fmean(held) <= 0.95


def test_without_history_nothing_is_projected() -> None:
    """No hours, or hours without spend: nothing, and nothing runs out."""
    now = datetime(2026, 5, 5, 10, 20, tzinfo=UTC)
    for hours in ([], [(now.replace(minute=0) - 5 * HOUR, 0)]):
        nothing = forecast(hours, now, BERLIN)
        projected = nothing.project(now - DAY, now + DAY, spent_usd_micros=7)
        assert (projected.low_usd_micros, projected.expected_usd_micros, projected.high_usd_micros) == (
            7,
            7,
            7,
        )
        assert nothing.runs_out_at(100, 7) is None


def test_of_the_first_minutes_an_hour_is_assumed() -> None:
    """Ten dollars within five minutes are ten dollars an hour, not a hundred and twenty, and little is known."""
    now = datetime(2026, 5, 5, 10, 5, tzinfo=UTC)
    first = forecast([(now.replace(minute=0), 10_000_000)], now, BERLIN)
    projected = first.project(now - DAY, now + 10 * HOUR)
    assert projected.expected_usd_micros == pytest.approx(110_000_000, rel=0.01)
    assert projected.low_usd_micros < 0.8 * projected.expected_usd_micros
    assert projected.high_usd_micros > 1.2 * projected.expected_usd_micros


def test_with_little_history_the_season_is_the_one_given() -> None:
    """A company that began at nine this morning is projected by the rhythm of the others."""
    others = spend(6, OFFICE)
    rhythm = known(others, others.month_start).season
    start = others.month_start + 10 * DAY
    noon = start + 12 * HOUR
    hours = [(hour, usd) for hour, usd in others.until(noon) if hour >= start + 9 * HOUR]
    actual = others.between(start + 9 * HOUR, start + DAY)
    alone = forecast(hours, noon, BERLIN).project(start, start + DAY).expected_usd_micros
    with_prior = forecast(hours, noon, BERLIN, rhythm).project(start, start + DAY).expected_usd_micros
    assert abs(with_prior / actual - 1) < 0.15 < abs(alone / actual - 1)


def test_the_counter_of_the_window_is_believed() -> None:
    """What it says has been spent takes the place of what the hours say."""
    tenant = spend(7)
    now = tenant.month_start + 5 * DAY
    seen = known(tenant, now)
    by_hours = seen.project(tenant.month_start, tenant.month_end)
    by_counter = seen.project(
        tenant.month_start, tenant.month_end, spent_usd_micros=by_hours.spent_usd_micros + 1_000_000
    )
    assert by_counter.spent_usd_micros == by_hours.spent_usd_micros + 1_000_000
    assert by_counter.expected_usd_micros == pytest.approx(by_hours.expected_usd_micros + 1_000_000, abs=1)


def test_a_cap_runs_out_in_the_hour_in_which_the_path_crosses_it() -> None:
    """Office hours: a cap that is short by an hour of the afternoon runs out in the afternoon."""
    tenant = spend(8, OFFICE)
    now = tenant.month_start + 5 * DAY
    afternoon = (now + 4 * DAY).astimezone(BERLIN).replace(hour=15).astimezone(UTC)
    spent = tenant.between(tenant.month_start, now)
    cap = tenant.between(tenant.month_start, afternoon) + tenant.between(afternoon, afternoon + HOUR) // 2
    runs_out = known(tenant, now).runs_out_at(cap, spent)
    assert runs_out is not None
    assert abs(runs_out - afternoon) <= HOUR


def test_a_cap_that_is_used_up_runs_out_now_and_one_far_away_never() -> None:
    """Never: not within the window, nor within 62 days."""
    tenant = spend(9)
    now = tenant.month_start + 5 * DAY
    seen = known(tenant, now)
    assert seen.runs_out_at(100, 100) == now
    assert seen.runs_out_at(10**15, 0) is None
    month = round(sum(value for _, value in seen.ahead(now, tenant.month_end)))
    assert seen.runs_out_at(month * 2, 0, until=tenant.month_end) is None
    assert seen.runs_out_at(month + month // 20, 0) is not None
    assert seen.runs_out_at(month * 30, 0, until=now + 3 * HORIZON) is None


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    hours_in=st.integers(0, 24 * 27),
    minutes=st.integers(0, 59),
    history_days=st.integers(0, 56),
)
def test_a_projection_is_in_order_and_repeatable(
    seed: int, hours_in: int, minutes: int, history_days: int
) -> None:
    """Spent ≤ low ≤ expected ≤ high, whatever is known; and the same hours make the same projection."""
    tenant = spend(seed)
    now = tenant.month_start + timedelta(hours=hours_in, minutes=minutes)
    first, again = (known(tenant, now, history_days) for _ in range(2))
    projected = first.project(tenant.month_start, tenant.month_end)
    assert (
        0
        <= projected.spent_usd_micros
        <= projected.low_usd_micros
        <= projected.expected_usd_micros
        <= projected.high_usd_micros
    )
    assert again.project(tenant.month_start, tenant.month_end) == projected
    assert sum(first.season.factors) == pytest.approx(168)
    assert min(first.season.factors) >= 0


@settings(max_examples=12, deadline=None)
@given(
    hours=st.lists(
        st.tuples(st.integers(0, 1400), st.one_of(st.integers(0, 10**6), st.integers(0, 10**14))), max_size=60
    ),
    # Powers of two are exact in binary: no tie between two hours is decided otherwise.
    factor=st.integers(1, 10).map(lambda power: 2**power),
)
def test_a_projection_grows_with_its_money(hours: list[tuple[int, int]], factor: int) -> None:
    """In other units the same comes out, for any hours at all: holes, doubles, one single hour."""
    now = datetime(2026, 10, 26, 7, 30, tzinfo=UTC)
    spent = [(now.replace(minute=0) - number * HOUR, usd) for number, usd in hours]
    larger = [(hour, usd * factor) for hour, usd in spent]
    one = forecast(spent, now, BERLIN).project(now - 20 * DAY, now + 10 * DAY)
    many = forecast(larger, now, BERLIN).project(now - 20 * DAY, now + 10 * DAY)
    assert many.expected_usd_micros == pytest.approx(one.expected_usd_micros * factor, rel=1e-6, abs=factor)
    assert many.high_usd_micros == pytest.approx(one.high_usd_micros * factor, rel=1e-6, abs=factor)


def test_a_season_counts_parts_of_hours_and_the_hour_that_summer_time_takes() -> None:
    """A flat season's weight is the time that passes: 23 hours on that Sunday."""
    flat = Season(BERLIN)
    start = datetime(2026, 3, 29, tzinfo=BERLIN).astimezone(UTC)
    end = datetime(2026, 3, 30, tzinfo=BERLIN).astimezone(UTC)
    assert flat.weight(start, end) == pytest.approx(23)
    assert flat.weight(start + timedelta(minutes=45), start + timedelta(minutes=75)) == pytest.approx(0.5)


def test_a_season_is_the_same_by_another_clock() -> None:
    """Monday noon in Berlin is Monday noon in Berlin, whatever zone one counts in."""
    berlin = Season(BERLIN, tuple(float(slot) for slot in range(168)))
    tokyo = berlin.moved_to(ZoneInfo("Asia/Tokyo"), datetime(2026, 6, 1, tzinfo=UTC))
    hours = [datetime(2026, 6, 1, tzinfo=UTC) + number * HOUR for number in range(168)]
    assert [tokyo.factors[tokyo.slot(hour)] for hour in hours] == [
        berlin.factors[berlin.slot(hour)] for hour in hours
    ]


def test_equal_seeds_are_equal_tenants() -> None:
    """The figures of the benchmark can be had again."""
    assert spend(17) == spend(17)
    assert habits(17) == habits(17)
    assert spend(17).hours != spend(18).hours
