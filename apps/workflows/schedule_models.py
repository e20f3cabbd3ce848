"""Schedules: runs that start by the clock."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from agentplatform.identifiers import uuid7
from apps.tenants.models import ApiKey, Tenant
from apps.workflows.queue_models import QueueConfig


class Schedule(models.Model):
    """Starts a run of a type at its times: by a cron expression in a time zone, or every so many seconds.

    `next_run_at` is the fence: a time that has been served is not served again, however often it is told of. The
    periodic task is what Celery's beat goes by.
    """

    class Overlap(models.TextChoices):
        SKIP = "skip", "skip while the last run has not ended"
        ALLOW = "allow", "start beside it"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=100, help_text="One of its own among the tenant's.")
    type = models.CharField(
        max_length=64, help_text="Of the workflow; its current version when the time comes."
    )
    input = models.JSONField(default=dict, blank=True)
    queue = models.ForeignKey(QueueConfig, on_delete=models.PROTECT, related_name="+", default="standard")
    deadline_seconds = models.PositiveIntegerField(null=True, blank=True)
    max_cost_usd_micros = models.BigIntegerField(
        "max cost", null=True, blank=True, help_text="Of a run, in micro-dollars: 1000000 is a dollar."
    )
    metadata = models.JSONField(default=dict, blank=True)
    cron = models.CharField(
        max_length=200,
        blank=True,
        help_text="Minute, hour, day of the month, month, day of the week: 30 7 * * 1-5.",
    )
    time_zone = models.CharField(max_length=64, default="UTC")
    every_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="In place of a cron expression."
    )
    overlap = models.CharField(max_length=8, choices=Overlap.choices, default=Overlap.SKIP)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    is_enabled = models.BooleanField(default=True)
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    periodic_task = models.OneToOneField(
        PeriodicTask, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    next_run_at = models.DateTimeField(null=True, editable=False)
    last_run_at = models.DateTimeField(null=True, editable=False)
    last_workflow_id = models.UUIDField(null=True, editable=False)
    last_skipped_at = models.DateTimeField(null=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        permissions = [("run_schedule", "Can start schedules at once")]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="workflows_schedule_name"),
            models.CheckConstraint(
                condition=models.Q(cron="", every_seconds__isnull=False)
                | (~models.Q(cron="") & models.Q(every_seconds__isnull=True)),
                name="workflows_schedule_cron_or_every",
                violation_error_message="Give either a cron expression or every_seconds.",
            ),
            models.CheckConstraint(
                condition=models.Q(overlap__in=["skip", "allow"]), name="workflows_schedule_overlap_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
