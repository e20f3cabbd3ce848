"""Compares windows with what was before, and tells operators what has shifted and what that costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agentplatform.profiles.drift import Shift, shifts
from agentplatform.profiles.drift_cost import cost_a_day_usd_micros
from agentplatform.profiles.observing import SKETCHES, Measure, Observation, observe
from agentplatform.profiles.profile import Profile, together, without_sketches
from apps.console.display import about_dollars
from apps.database import release_connection
from apps.insights.drift_models import DriftReading, DriftReference, DriftWindow
from apps.insights.profile_models import ProfiledHour
from apps.insights.profile_selectors import hourly_profiles
from apps.insights.profiling import HOUR, LATEST, RUN_SECONDS
from apps.notifications.event_types import DRIFT_DETECTED
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify

LARGE_INDEX = 0.25
"""By custom, of the population stability index."""

LATE = timedelta(days=1)
"""Windows that ended longer ago are not looked at any more, since nobody would act on it."""

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Compared:
    """A window, its reference and what came of comparing them."""

    starts_at: datetime
    reference: tuple[datetime, datetime]
    reference_windows: int
    profile: Profile
    before: Profile
    shifts: Sequence[Shift]


def drift_watch() -> int:
    """Compares the windows that are complete and were not compared, and tells what shifted; returns how many windows."""
    try:
        until, compared = time.monotonic() + RUN_SECONDS, 0
        for starts_at in windows_due(timezone.now()):
            if time.monotonic() > until:
                break
            window_store(window_compare(starts_at))
            compared += 1
        _purge()
        return compared
    finally:
        release_connection()


def window_length() -> timedelta:
    return timedelta(hours=settings.DRIFT_WINDOW_HOURS)


def windows_due(now: datetime) -> list[datetime]:
    """The starts of windows whose hours have been measured to the end, the earliest first."""
    length = window_length()
    complete = ProfiledHour.objects.filter(
        hour__gte=now - LATE - length, computed_at__gte=F("hour") + HOUR + LATEST
    )
    hours = set(complete.values_list("hour", flat=True))
    starts = {hour for hour in hours if (hour - _EPOCH) % length == timedelta(0)}
    known = set(DriftWindow.objects.filter(starts_at__in=starts).values_list("starts_at", flat=True))
    return sorted(start for start in starts - known if _hours_of(start, length) <= hours)


def _hours_of(start: datetime, length: timedelta) -> set[datetime]:
    return {start + number * HOUR for number in range(round(length / HOUR))}


def window_compare(starts_at: datetime) -> Compared:
    """One window beside its reference, from the stored profiles; nothing is stored."""
    length = window_length()
    since, until = reference_of(starts_at)
    window = _profile(starts_at, length)
    observed: dict[datetime, Observation] = {}
    paid: list[Profile] = []
    for start in _starts(since, until, starts_at, length):
        profile = _profile(start, length)
        if profile is not None:
            observed[start] = observe(profile)
            paid.append(without_sketches(profile))
    release_connection()
    if window is None:
        window = Profile(length.total_seconds(), {}, {}, {})
    found = shifts(observed, starts_at, observe(window))
    return Compared(starts_at, (since, until), len(observed), window, together(paid), found)


def _profile(start: datetime, length: timedelta) -> Profile | None:
    """Of one window, with what drift looks at; None unless all its hours were measured."""
    hours = [profile for _, profile in hourly_profiles(start, start + length, sketches=SKETCHES)]
    return together(hours) if len(hours) == round(length / HOUR) else None


def _starts(since: datetime, until: datetime, at: datetime, length: timedelta) -> Iterator[datetime]:
    """The windows in [since, until) that do not overlap with the one that begins at `at`."""
    start = at - (at - since) // length * length
    while start + length <= until:
        if start != at:
            yield start
        start += length


def reference_of(starts_at: datetime) -> tuple[datetime, datetime]:
    """What operators have named, or the days before the window."""
    named = DriftReference.objects.filter(is_active=True).order_by("-id").first()
    if named is not None:
        return named.starts_at, named.ends_at
    return starts_at - timedelta(days=settings.DRIFT_REFERENCE_DAYS), starts_at


def window_store(compared: Compared) -> DriftWindow | None:
    """Stores what came of it and tells of what has newly shifted, in one transaction; None if somebody else did."""
    drifted = [shift for shift in compared.shifts if shift.is_drift]
    with transaction.atomic():
        window, is_new = DriftWindow.objects.get_or_create(
            starts_at=compared.starts_at,
            defaults={
                "ends_at": compared.starts_at + window_length(),
                "reference_starts_at": compared.reference[0],
                "reference_ends_at": compared.reference[1],
                "reference_windows": compared.reference_windows,
                "runs": sum(one["finished"] for one in compared.profile.runs.values()),
                "compared": len(compared.shifts),
                "shifted": len(drifted),
                "computed_at": timezone.now(),
            },
        )
        if not is_new:
            return None
        readings = [_reading(window, shift, compared) for shift in compared.shifts]
        DriftReading.objects.bulk_create(readings)
        _tell(window, [one for one in readings if one.is_drift])
    return window


def _reading(window: DriftWindow, shift: Shift, compared: Compared) -> DriftReading:
    return DriftReading(
        window=window,
        task_type=shift.task_type,
        measure=shift.measure.value,
        moved=shift.moved,
        reference_value=shift.reference,
        window_value=shift.window,
        stability_index=shift.index,
        p_value=shift.p_value,
        reference_units=shift.reference_units,
        window_units=shift.units,
        is_drift=shift.is_drift,
        cost_a_day_usd_micros=cost_a_day_usd_micros(shift, compared.profile, compared.before),
    )


def _tell(window: DriftWindow, drifted: Sequence[DriftReading]) -> None:
    """Once for each measure, and again when it has been as before in between."""
    earlier = DriftReading.objects.filter(window__ends_at=window.starts_at, is_drift=True)
    told = set(earlier.values_list("task_type", "measure"))
    new = [one for one in drifted if (one.task_type, one.measure) not in told]
    if not new:
        return
    is_large = any(one.stability_index >= LARGE_INDEX for one in new)
    others = f" and {len(new) - 1} more" if len(new) > 1 else ""
    notify(
        code=DRIFT_DETECTED,
        severity=Severity.CRITICAL if is_large and _costs(new) else Severity.WARNING,
        title=f"Drift: {new[0]}{others}",
        message="\n".join(
            [
                f"From {window.starts_at:%Y-%m-%d %H:%M} to {window.ends_at:%H:%M} UTC, beside "
                f"{window.reference_starts_at:%Y-%m-%d %H:%M} to {window.reference_ends_at:%Y-%m-%d %H:%M}:",
                *[f"{one}: {change_in_words(one)}." for one in new],
            ]
        ),
        audience=Audience.OPERATORS,
        data={
            "window_starts_at": window.starts_at.isoformat(),
            "window_ends_at": window.ends_at.isoformat(),
            "shifts": [shift_document(one) for one in new],
        },
        dedup_key=f"drift {window.starts_at.isoformat()}",
    )


def _costs(readings: Sequence[DriftReading]) -> bool:
    return any((one.cost_a_day_usd_micros or 0) > 0 for one in readings)


def change_in_words(reading: DriftReading) -> str:
    """From what to what, how far that is, and what it costs."""
    before, now = (
        figure_in_words(reading, value) for value in (reading.reference_value, reading.window_value)
    )
    of = f"{reading.moved} " if reading.moved else ""
    money = reading.cost_a_day_usd_micros
    if not money:
        cost = ""
    elif money > 0:
        cost = f", {about_dollars(money)} a day more"
    else:
        cost = f", {about_dollars(-money)} a day less"
    return f"{of}{before} before, {now} now (stability index {reading.stability_index:.2f}){cost}"


def figure_in_words(reading: DriftReading, value: float) -> str:
    """A figure in its measure's unit."""
    match Measure(reading.measure):
        case Measure.INPUT_TOKENS | Measure.OUTPUT_TOKENS:
            return f"{value:,.0f}"
        case Measure.EXECUTION_SECONDS:
            return f"{value:.3g} s"
    return f"{value:.1%}"


def shift_document(reading: DriftReading) -> dict[str, object]:
    """A reading as webhooks and the API have it."""
    return {
        "task_type": reading.task_type,
        "measure": reading.measure,
        "moved": reading.moved,
        "reference_value": reading.reference_value,
        "window_value": reading.window_value,
        "stability_index": reading.stability_index,
        "p_value": reading.p_value,
        "is_drift": reading.is_drift,
        "cost_a_day_usd_micros": reading.cost_a_day_usd_micros,
    }


def _purge() -> None:
    kept_since = timezone.now() - timedelta(days=settings.PROFILE_RETENTION_DAYS)
    DriftWindow.objects.filter(starts_at__lt=kept_since).delete()
