"""Filters by day."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.utils import parse_date_str

CLOCK_SLACK = timedelta(hours=1)
"""How far the clock that made an id may be from the database's."""


class DayFilter(RangeDateFilter):
    """From a day to a day, both included, in UTC; what is no date is passed over."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        start, end = self.day("from"), self.day("to")
        if start is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": start})
        if end is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lt": end + timedelta(days=1)})
        return queryset

    def day(self, side: str) -> datetime | None:
        """The start of the day that was given on this side."""
        text = self.used_parameters.get(f"{self.field_path}_{side}")
        day = parse_date_str(text) if isinstance(text, str) and text else None
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


class IdDayFilter(DayFilter):
    """The same for rows whose key is a UUID version 7: their index is narrowed by the time that the ids carry."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        queryset = super().queryset(request, queryset)
        start, end = self.day("from"), self.day("to")
        if start is not None:
            queryset = queryset.filter(pk__gte=first_id(start - CLOCK_SLACK))
        if end is not None:
            queryset = queryset.filter(pk__lt=first_id(end + timedelta(days=1) + CLOCK_SLACK))
        return queryset


def first_id(at: datetime) -> uuid.UUID:
    """The lowest value that a UUID version 7 made at this time could have."""
    milliseconds = max(0, int(at.timestamp() * 1000)) & (1 << 48) - 1
    return uuid.UUID(int=milliseconds << 80)
