"""Reads of drift."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Prefetch, QuerySet

from apps.insights.drift_models import DriftReading, DriftWindow


def windows_between(
    since: datetime,
    until: datetime,
    *,
    task_type: str | None = None,
    measure: str | None = None,
    only_shifted: bool = False,
) -> list[DriftWindow]:
    """The windows that begin in [since, until), the latest first, with the readings that were asked for."""
    readings = readings_of(task_type, measure)
    if only_shifted:
        readings = readings.filter(is_drift=True)
    windows = DriftWindow.objects.filter(starts_at__gte=since, starts_at__lt=until)
    return list(windows.order_by("-starts_at").prefetch_related(Prefetch("readings", queryset=readings)))


def readings_of(task_type: str | None = None, measure: str | None = None) -> QuerySet[DriftReading]:
    """Readings of a type of task (empty: the whole platform) and a measure, if they are named."""
    readings = DriftReading.objects.order_by("-is_drift", "p_value", "pk")
    if task_type is not None:
        readings = readings.filter(task_type=task_type)
    return readings if measure is None else readings.filter(measure=measure)


def indexes_by_window(windows: Sequence[DriftWindow], task_type: str) -> dict[str, list[float | None]]:
    """By measure, the stability index of each window's reading; None where there was not enough to compare."""
    known = [
        {one.measure: one.stability_index for one in window.readings.all() if one.task_type == task_type}
        for window in windows
    ]
    measures = sorted({measure for one in known for measure in one})
    return {measure: [one.get(measure) for one in known] for measure in measures}
