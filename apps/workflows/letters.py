"""Dead letters, how they are grouped, and what operators have done. Imported with `models`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from agentplatform.execution.dead_letters import FINGERPRINT_CHARACTERS, Reason
from agentplatform.identifiers import uuid7
from apps.tenants.models import ApiKey, Tenant


class OperatorAction(models.Model):
    """What an operator did to work: who, what, when, and with what outcome. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    actor = models.CharField(max_length=250, help_text="Who it was, in words that outlast user and key.")
    affected = models.PositiveIntegerField(help_text="How many workflows or letters were changed.")
    details = models.JSONField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "operation"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} by {self.actor}"


class DeadLetter(models.Model):
    """A step that gave up, written in the transaction that ended it.

    Its payload is referred to, not copied: the step, and its workflow's input. A step that is requeued and gives up
    again is another letter.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        REQUEUED = "requeued"
        DISCARDED = "discarded"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    workflow = models.ForeignKey(
        "workflows.Workflow", on_delete=models.CASCADE, related_name="dead_letters", db_index=False
    )
    # A requeue may take a step of a fan-out away, whose letter stays.
    step = models.ForeignKey(
        "workflows.Step", on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    attempt = models.IntegerField(help_text="The attempt that was its last.")
    type = models.CharField(max_length=64)
    key = models.CharField(max_length=80)
    agent = models.CharField(max_length=64)
    queue = models.CharField(max_length=32)
    reason = models.CharField(max_length=16, choices=[(reason.value, reason.value) for reason in Reason])
    error_class = models.CharField(max_length=200, blank=True)
    error_code = models.CharField(max_length=64)
    error_message = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=FINGERPRINT_CHARACTERS)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    filed_at = models.DateTimeField(null=True, help_text="When it was counted in its group.")
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=500, blank=True, help_text="Why it was discarded.")
    operation = models.ForeignKey(
        OperatorAction, null=True, on_delete=models.SET_NULL, related_name="letters", db_index=False
    )

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("requeue_deadletter", "Can requeue dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["step", "attempt"], name="workflows_deadletter_once"),
        ]
        indexes = [
            models.Index(fields=["fingerprint", "status", "-id"], name="workflows_deadletter_group"),
            models.Index(fields=["status", "-id"], name="workflows_deadletter_status"),
            models.Index(fields=["tenant", "-id"], name="workflows_deadletter_tenant"),
            models.Index(fields=["workflow"], name="workflows_deadletter_workflow"),
            models.Index(
                fields=["created_at"], condition=models.Q(filed_at=None), name="workflows_deadletter_unfiled"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type}.{self.key}: {self.error_code}"


class DeadLetterGroup(models.Model):
    """Letters of one fingerprint: how many there have been, from when to when, and when somebody was told."""

    fingerprint = models.CharField(primary_key=True, max_length=FINGERPRINT_CHARACTERS)
    agent = models.CharField(max_length=64)
    error_class = models.CharField(max_length=200, blank=True)
    error_code = models.CharField(max_length=64)
    error_message = models.TextField(blank=True, help_text="That of the latest letter.")
    letters = models.PositiveBigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    notified_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "group of dead letters"
        verbose_name_plural = "groups of dead letters"
        ordering = ["-last_seen_at"]
        indexes = [models.Index(fields=["-last_seen_at"], name="workflows_lettergroup_seen")]

    def __str__(self) -> str:
        return f"{self.error_code} in {self.agent}"
