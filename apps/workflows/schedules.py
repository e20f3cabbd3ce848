"""Writes to schedules, and what happens when one is due."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from celery.schedules import ParseException
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from apps.database import release_connection
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify
from apps.tenants.models import ApiKey, Tenant
from apps.workflows.models import Schedule, Workflow
from apps.workflows.schedule_times import CRON_FIELDS, times_of
from apps.workflows.services import StartedWorkflow, Submission, workflow_start
from apps.workflows.submissions import DEFAULT_QUEUE, InvalidSubmission, submission_make

START_TASK = "workflows.start_scheduled"
MAX_SCHEDULES = 100
"""How many a tenant may have."""

MAX_EVERY_SECONDS = 31 * 86_400
EARLY = timedelta(seconds=1)
"""So much before its time a schedule may be told that it is due: the clocks of two processes differ."""


class TooManySchedules(ValueError):
    """The tenant has as many schedules as it may."""


class NameTaken(ValueError):
    """The tenant has another schedule of that name."""


class InvalidSchedule(ValueError):
    """What was asked for cannot be a schedule. `errors` are (path into the body, what to do about it)."""

    def __init__(self, errors: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(detail for _, detail in errors))
        self.errors = errors


CHANGEABLE = (
    "name",
    "type",
    "input",
    "queue",
    "deadline_seconds",
    "max_cost_usd_micros",
    "metadata",
    "cron",
    "time_zone",
    "every_seconds",
    "overlap",
    "starts_at",
    "ends_at",
    "is_enabled",
)


def schedule_create(*, tenant: Tenant, fields: Mapping[str, Any], api_key: ApiKey | None = None) -> Schedule:
    """Stores a schedule and its periodic task. Raises InvalidSchedule, TooManySchedules and NameTaken."""
    schedule = Schedule(tenant=tenant, api_key=api_key, **_placed(fields))
    schedule_check(schedule)
    with transaction.atomic():
        # One at a time for a tenant, so that the limit holds.
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        if Schedule.objects.filter(tenant=tenant).count() >= MAX_SCHEDULES:
            raise TooManySchedules(f"There are {MAX_SCHEDULES} schedules already; delete one first.")
        _save(schedule)
    return schedule


def schedule_update(schedule: Schedule, fields: Mapping[str, Any]) -> Schedule:
    """Changes a schedule, and returns it; its next time is worked out anew.

    Raises InvalidSchedule, NameTaken, and Schedule.DoesNotExist where it is gone.
    """
    with transaction.atomic():
        # As it is now: a time that is served, or another change, comes before or after this one and is kept.
        locked = (
            Schedule.objects.select_for_update(no_key=True, of=("self",))
            .select_related("tenant", "periodic_task")
            .get(pk=schedule.pk)
        )
        for name, value in _placed(fields).items():
            setattr(locked, name, value)
        schedule_check(locked)
        _save(locked)
    return locked


def schedule_delete(schedule: Schedule) -> None:
    """Deletes a schedule with its periodic task; runs that it has started stay."""
    with transaction.atomic():
        task = schedule.periodic_task
        schedule.delete()
        if task is not None:
            task.delete()


def schedule_run(schedule: Schedule, *, idempotency_key: str | None = None) -> StartedWorkflow:
    """Starts a run of it at once, whatever the time.

    Raises InvalidSubmission, IdempotencyConflict, and Schedule.DoesNotExist where it is gone.
    """
    with transaction.atomic():
        locked = Schedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
        return _start(locked, idempotency_key)


def schedule_fire(schedule_id: uuid.UUID) -> uuid.UUID | None:
    """Starts the run of a schedule that is due; None where it is not, was served before, or cannot be run.

    What cannot be run is noted on the schedule, and told when that is new.
    """
    try:
        with transaction.atomic():
            schedule = (
                Schedule.objects.select_for_update(no_key=True, of=("self",))
                .select_related("tenant", "periodic_task")
                .filter(pk=schedule_id, is_enabled=True)
                .first()
            )
            if schedule is None or not _is_due(schedule, timezone.now()):
                return None
            if _has_ended(schedule):
                _retire(schedule)
                return None
            schedule.next_run_at = _next_time(schedule)
            schedule.save(update_fields=["next_run_at"])
            if _is_under_way(schedule):
                schedule.last_skipped_at = timezone.now()
                schedule.save(update_fields=["last_skipped_at"])
                return None
            try:
                with transaction.atomic():
                    return _start(schedule).id
            except InvalidSubmission as error:
                _refused(
                    schedule, "; ".join(f"{'/'.join(map(str, path))}: {what}" for path, what in error.errors)
                )
                return None
    finally:
        release_connection()


def schedule_check(schedule: Schedule) -> None:
    """Raises InvalidSchedule for one that never comes, or whose run would be refused."""
    errors: list[tuple[tuple[str | int, ...], str]] = []
    if bool(schedule.cron) == (schedule.every_seconds is not None):
        errors.append((("cron",), "Give either a cron expression or every_seconds."))
    least = settings.SCHEDULE_MIN_SECONDS
    if schedule.every_seconds is not None and not least <= schedule.every_seconds <= MAX_EVERY_SECONDS:
        errors.append((("every_seconds",), f"At least {least} and at most {MAX_EVERY_SECONDS} seconds."))
    if schedule.time_zone not in available_timezones():
        errors.append((("time_zone",), "There is no such time zone; give one such as Europe/Berlin."))
    elif schedule.cron:
        errors += _faults_of_cron(schedule)
    if schedule.starts_at and schedule.ends_at and schedule.starts_at >= schedule.ends_at:
        errors.append((("ends_at",), "It must be after starts_at."))
    try:
        _submission(schedule)
    except InvalidSubmission as error:
        errors += error.errors
    errors = errors or _faults_of_times(schedule)
    if errors:
        raise InvalidSchedule(errors)


def due_after(schedule: Schedule, moment: datetime) -> datetime:
    """The next time of it after `moment`."""
    if schedule.every_seconds is not None:
        return moment + timedelta(seconds=schedule.every_seconds)
    local = moment.astimezone(ZoneInfo(schedule.time_zone))
    minute, hour, day, month, weekday = schedule.cron.split()
    times = TzAwareCrontab(minute, hour, weekday, day, month, tz=local.tzinfo)
    times.nowfun = lambda: local
    due = moment + times.remaining_estimate(local)
    return (due + timedelta(seconds=30)).replace(second=0, microsecond=0)


def _next_time(schedule: Schedule) -> datetime | None:
    """The next time from now on at which it is to run; None where it has ended by then."""
    now = timezone.now()
    following = due_after(schedule, max(now, schedule.starts_at or now))
    return None if schedule.ends_at is not None and following > schedule.ends_at else following


def _faults_of_times(schedule: Schedule) -> list[tuple[tuple[str | int, ...], str]]:
    try:
        following = _next_time(schedule)
    except (OverflowError, RuntimeError):
        return [(("starts_at",), "None of its times comes after that.")]
    if following is None and schedule.is_enabled:
        return [(("ends_at",), "None of its times comes before that.")]
    return []


def _faults_of_cron(schedule: Schedule) -> list[tuple[tuple[str | int, ...], str]]:
    fields = schedule.cron.split()
    if len(fields) != len(CRON_FIELDS):
        what = "Five fields: minute, hour, day of the month, month, day of the week; as in 30 7 * * 1-5."
        return [(("cron",), what)]
    for name, written in zip(CRON_FIELDS, fields, strict=True):
        longest = CrontabSchedule._meta.get_field(name).max_length
        if len(written) > longest:
            what = f"Its {name.replace('_', ' ')} has more than {longest} characters; use ranges and steps."
            return [(("cron",), what)]
    try:
        due_after(schedule, timezone.now())
    except (ParseException, ValueError) as error:
        return [(("cron",), f"It cannot be read: {error}.")]
    except (RuntimeError, OverflowError):
        return [(("cron",), "There is no such day.")]
    return []


def _placed(fields: Mapping[str, Any]) -> dict[str, Any]:
    placed = {name: value for name, value in fields.items() if name in CHANGEABLE}
    if isinstance(placed.get("queue"), str):
        placed["queue_id"] = placed.pop("queue")
    return placed


def _save(schedule: Schedule) -> None:
    schedule.next_run_at = _next_time(schedule)
    schedule.last_error = ""
    task = schedule.periodic_task or PeriodicTask(name=f"schedule {schedule.pk}", task=START_TASK)
    task.args = json.dumps([str(schedule.pk)])
    task.queue = "maintenance"
    task.expire_seconds = settings.SCHEDULE_LATE_SECONDS
    task.start_time = schedule.starts_at
    task.enabled = schedule.is_enabled and schedule.next_run_at is not None
    task.crontab, task.interval = times_of(schedule)
    task.save()
    schedule.periodic_task = task
    try:
        with transaction.atomic():
            schedule.save()
    except IntegrityError as error:
        raise NameTaken(f"There is a schedule called '{schedule.name}' already.") from error


def _is_due(schedule: Schedule, now: datetime) -> bool:
    """Whether its next time has come. Beat counts intervals from its own last time, which is a little earlier."""
    if schedule.next_run_at is None:
        return True
    early = EARLY if schedule.every_seconds is None else timedelta(seconds=schedule.every_seconds / 2)
    return schedule.next_run_at <= now + early


def _has_ended(schedule: Schedule) -> bool:
    return schedule.ends_at is not None and schedule.ends_at < timezone.now()


def _retire(schedule: Schedule) -> None:
    """Beat is not to tell of it any more: it does not know the end, since a task of its own may have one limit."""
    schedule.next_run_at = None
    schedule.save(update_fields=["next_run_at"])
    task = schedule.periodic_task
    if task is not None:
        task.enabled = False
        task.save()


def _is_under_way(schedule: Schedule) -> bool:
    if schedule.overlap != Schedule.Overlap.SKIP or schedule.last_workflow_id is None:
        return False
    return Workflow.objects.filter(pk=schedule.last_workflow_id, finished_at=None).exists()


def _submission(schedule: Schedule) -> Submission:
    if schedule.tenant.status != "active":
        raise InvalidSubmission([(("tenant",), "The tenant is suspended.")])
    return submission_make(
        tenant=schedule.tenant,
        type_=schedule.type,
        workflow_input=schedule.input,
        queue=schedule.queue_id or DEFAULT_QUEUE,
        deadline_seconds=schedule.deadline_seconds,
        max_cost_usd_micros=schedule.max_cost_usd_micros,
        metadata=schedule.metadata,
    )


def _start(schedule: Schedule, idempotency_key: str | None = None) -> StartedWorkflow:
    started = workflow_start(
        tenant=schedule.tenant,
        submission=_submission(schedule),
        api_key=schedule.api_key,
        idempotency_key=idempotency_key,
    )
    if started.is_new:
        Workflow.objects.filter(pk=started.id).update(schedule_id=schedule.pk)
        schedule.last_run_at, schedule.last_workflow_id = timezone.now(), started.id
        schedule.last_error = ""
        schedule.save(update_fields=["last_run_at", "last_workflow_id", "last_error"])
    return started


def _refused(schedule: Schedule, why: str) -> None:
    is_new = schedule.last_error != why
    schedule.last_error = why
    schedule.save(update_fields=["last_error"])
    if is_new:
        notify(
            code="schedule.refused",
            severity=Severity.WARNING,
            title=f"Schedule '{schedule.name}' could not be run",
            message=f"A run of '{schedule.type}' was refused: {why} The schedule goes on; mend or disable it.",
            audience=Audience.TENANT,
            tenant_id=schedule.tenant_id,
            data={"schedule_id": schedule.pk, "type": schedule.type},
        )
