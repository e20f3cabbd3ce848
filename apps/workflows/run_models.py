"""What belongs to a run as a whole: its idempotency key, signals to it, and what its tenant thinks of it."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from apps.tenants.models import ApiKey, Tenant


class Feedback(models.Model):
    """What a tenant thinks of a run's result: one verdict a run, which the next one replaces."""

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    workflow = models.OneToOneField(
        "workflows.Workflow", primary_key=True, on_delete=models.CASCADE, related_name="feedback"
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    rating = models.CharField(max_length=4, choices=Rating.choices)
    comment = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "feedback"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="workflows_feedback_age"),
            models.Index(fields=["tenant", "-created_at"], name="workflows_feedback_tenant"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rating__in=["up", "down"]), name="workflows_feedback_rating_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rating} for {self.workflow_id}"


class IdempotencyKey(models.Model):
    """A tenant's own key for a submission; for 24 hours a repeat returns the first workflow."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    workflow = models.ForeignKey("workflows.Workflow", on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key"], name="workflows_idempotency_key"),
        ]
        indexes = [models.Index(fields=["created_at"], name="workflows_idempotency_age")]


class Signal(models.Model):
    """What somebody has sent to a run: a signal, for the step that waits for its name, or an answer to an approval."""

    class Kind(models.TextChoices):
        SIGNAL = "signal"
        APPROVAL = "approval"

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(
        "workflows.Workflow",
        on_delete=models.CASCADE,
        related_name="signals",
        db_index=False,
        db_constraint=False,
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=130, help_text="Of an approval, the key of its step.")
    payload = models.JSONField()
    sender = models.CharField(max_length=200)
    step_id = models.UUIDField(null=True, help_text="The step that has taken it.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["workflow", "name", "id"], name="workflows_signal_name")]
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "name"],
                condition=models.Q(kind="approval"),
                name="workflows_signal_one_answer",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["signal", "approval"]), name="workflows_signal_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
