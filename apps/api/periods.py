"""The period that a request for figures is about: `from` and `to`, in full hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from apps.api.pagination import bad_parameter, text_parameter

MAX_DAYS = 400
DEFAULT_DAYS = 30
HOUR = timedelta(hours=1)

PERIOD_PARAMETERS = [
    OpenApiParameter(
        "from",
        OpenApiTypes.STR,
        description=f"A day, or a full hour with its offset; {DEFAULT_DAYS} days before `to` without it.",
    ),
    OpenApiParameter(
        "to",
        OpenApiTypes.STR,
        description="The same, not included; without it, what there is by now.",
    ),
]


def period_of(request: Request) -> tuple[datetime, datetime]:
    """[from, to) of the request, in UTC. Raises a 400 Problem."""
    present = timezone.now().replace(minute=0, second=0, microsecond=0) + HOUR
    until = _moment(request, "to", present)
    if until - datetime.min.replace(tzinfo=UTC) < timedelta(days=MAX_DAYS):
        raise bad_parameter("to", "must be a day of our time")
    since = _moment(request, "from", _midnight((until - timedelta(days=DEFAULT_DAYS)).date()))
    if since >= until:
        raise bad_parameter("from", "must be before 'to'")
    if until - since > timedelta(days=MAX_DAYS):
        raise bad_parameter("from", f"must be at most {MAX_DAYS} days before 'to'")
    return since, until


def _moment(request: Request, name: str, default: datetime) -> datetime:
    text = text_parameter(request, name)
    if text is None:
        return default
    try:
        day = parse_date(text)
        moment = _midnight(day) if day is not None else parse_datetime(text)
        at = None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        at = None
    if at is None or at != at.replace(minute=0, second=0, microsecond=0):
        raise bad_parameter(
            name, "must be a day such as 2026-11-29, or a full hour such as 2026-11-29T14:00:00Z"
        )
    return at


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def iso(at: datetime) -> str:
    """A time as the API writes it."""
    return at.isoformat().replace("+00:00", "Z")
