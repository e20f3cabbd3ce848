"""Plans of capacity that were asked for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7


class CapacityPlan(models.Model):
    """What was asked (agentplatform.capacity.question), and the answer, once it has been worked out."""

    class Status(models.TextChoices):
        ASKED = "asked"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    asked = models.JSONField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ASKED)
    result = models.JSONField(null=True)
    error = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    api_key_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "capacity plan"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"plan of {self.created_at:%Y-%m-%d %H:%M}"
