"""Profiles by the hour: what runs, steps and calls took and cost, in counts and sketches (agentplatform.profiles)."""

from __future__ import annotations

from django.db import models


class ProfiledHour(models.Model):
    """An hour (UTC) whose profile is stored. It is measured anew until all that ended in it has been committed."""

    hour = models.DateTimeField(primary_key=True)
    computed_at = models.DateTimeField()
    took_seconds = models.FloatField()

    class Meta:
        ordering = ["-hour"]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h"


class HourlyRunProfile(models.Model):
    """Runs of a type of task in a queue, of tenants of one tier: those that arrived, and those that ended."""

    hour = models.DateTimeField()
    task_type = models.CharField(max_length=64)
    queue = models.CharField(max_length=64)
    tenant_tier = models.CharField(max_length=32)
    counts = models.JSONField()
    sketches = models.JSONField()

    class Meta:
        verbose_name = "task profile"
        ordering = ["-hour", "task_type", "queue", "tenant_tier"]
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "task_type", "queue", "tenant_tier"], name="insights_run_profile_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.task_type}"


class HourlyStepProfile(models.Model):
    """Steps of a node that ended in the hour; `tier` is that of their last call, empty where they made none."""

    hour = models.DateTimeField()
    task_type = models.CharField(max_length=64)
    queue = models.CharField(max_length=64)
    node = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    counts = models.JSONField()
    sketches = models.JSONField()

    class Meta:
        ordering = ["-hour", "task_type", "queue", "node", "agent", "tier"]
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "task_type", "queue", "node", "agent", "tier"],
                name="insights_step_profile_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.task_type}.{self.node}"


class HourlyCallProfile(models.Model):
    """Calls that the ledger entered in the hour; `kind` is the ledger's."""

    hour = models.DateTimeField()
    task_type = models.CharField(max_length=64)
    node = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    counts = models.JSONField()
    sketches = models.JSONField()

    class Meta:
        ordering = ["-hour", "task_type", "node", "agent", "tier", "provider", "model", "kind"]
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "task_type", "node", "agent", "tier", "provider", "model", "kind"],
                name="insights_call_profile_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.task_type} {self.model}"
