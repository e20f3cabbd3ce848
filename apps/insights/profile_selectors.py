"""Reads of stored profiles."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from agentplatform.profiles.profile import CallKey, Counted, Profile, RunKey, StepKey
from apps.insights.profile_models import ProfiledHour
from apps.insights.profile_queries import CALLS, RUNS, STEPS, Kind
from apps.insights.profiling import HOUR, counted


def stored_profile(since: datetime, until: datetime, task_type: str | None = None) -> Profile:
    """What is stored of the full hours in [since, until), in one; of one type of task, if it is named.

    `seconds` is how much of that time has been measured.
    """
    runs: dict[RunKey, Counted] = _added_up(RUNS, since, until, task_type)
    steps: dict[StepKey, Counted] = _added_up(STEPS, since, until, task_type)
    calls: dict[CallKey, Counted] = _added_up(CALLS, since, until, task_type)
    return Profile(measured_seconds(since, until), runs, steps, calls)


def hourly_profiles(
    since: datetime,
    until: datetime,
    task_type: str | None = None,
    sketches: Collection[str] | None = None,
) -> Iterator[tuple[datetime, Profile]]:
    """The same, hour by hour and read so: hours that nobody has measured are left out.

    With `sketches` only those are read, by name.
    """
    hours = ProfiledHour.objects.filter(hour__gte=since, hour__lt=until).order_by("hour")
    for hour, computed_at in list(hours.values_list("hour", "computed_at")):
        runs, steps, calls = (
            {key: counts for _, key, counts in _rows(kind, hour, hour + HOUR, task_type, sketches)}
            for kind in (RUNS, STEPS, CALLS)
        )
        yield hour, Profile(_measured_seconds(hour, computed_at), runs, steps, calls)


def measured_seconds(since: datetime, until: datetime) -> float:
    """How much of [since, until) is in the stored profiles."""
    hours = ProfiledHour.objects.filter(hour__gte=since, hour__lt=until)
    return sum(_measured_seconds(hour, at) for hour, at in hours.values_list("hour", "computed_at"))


def _measured_seconds(hour: datetime, computed_at: datetime) -> float:
    return max(0.0, (min(computed_at, hour + HOUR) - hour).total_seconds())


def profiled_task_types(since: datetime, until: datetime) -> list[str]:
    """The types of task there is a stored profile of."""
    rows = RUNS.model._default_manager.filter(hour__gte=since, hour__lt=until)
    return sorted(rows.order_by().values_list("task_type", flat=True).distinct())


def _added_up(kind: Kind, since: datetime, until: datetime, task_type: str | None) -> dict[Any, Counted]:
    found: dict[Any, Counted] = {}
    for _, key, counts in _rows(kind, since, until, task_type):
        found.setdefault(key, Counted()).add(counts)
    return found


def _rows(
    kind: Kind,
    since: datetime,
    until: datetime,
    task_type: str | None,
    sketches: Collection[str] | None = None,
) -> Iterator[tuple[datetime, Any, Counted]]:
    rows = kind.model._default_manager.filter(hour__gte=since, hour__lt=until).order_by()
    if task_type is not None:
        rows = rows.filter(task_type=task_type)
    for hour, *key, counts, stored in rows.values_list(
        "hour", *kind.columns, "counts", "sketches"
    ).iterator():
        wanted = stored if sketches is None else {name: stored[name] for name in sketches if name in stored}
        yield hour, kind.key(*key), counted(counts, wanted)
