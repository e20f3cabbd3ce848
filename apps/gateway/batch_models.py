"""Batches of calls at a provider, and the calls that go with them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from apps.tenants.models import Tenant


class ProviderBatch(models.Model):
    """Calls to one model that are sent together.

    `due_at` is when it is looked after next, and while a process does so, until when it has it for itself; `lease`
    grows with every taking: who does not hold the latest changes nothing.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"  # made up, not sent
        SUBMITTING = "submitting"  # sent, or about to be: whether the provider has it is not known
        IN_PROGRESS = "in_progress"
        CANCELING = "canceling"
        ENDED = "ended"  # at the provider; its results are being read
        SETTLED = "settled"  # every result has been settled
        CANCELLED = "cancelled"  # never sent: nobody waited for it any longer
        FAILED = "failed"  # refused by the provider, or lost there

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200, help_text="As the provider calls it.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    provider_batch_id = models.CharField(max_length=128, null=True)
    request_count = models.PositiveIntegerField(help_text="How many requests were made up into it, or sent.")
    succeeded_count = models.PositiveIntegerField(default=0)
    errored_count = models.PositiveIntegerField(default=0)
    cancelled_count = models.PositiveIntegerField(default=0)
    expired_count = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True, help_text="Of the last failure.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row, of asking the provider.")
    lease = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, help_text="When it was first tried to submit it.")
    submitted_at = models.DateTimeField(null=True, help_text="When the provider took it.")
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "batch"
        verbose_name_plural = "batches"
        ordering = ["-id"]
        permissions = [("cancel_providerbatch", "Can cancel batches")]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "provider_batch_id"], name="gateway_batch_of_provider_once"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=[
                        "queued",
                        "submitting",
                        "in_progress",
                        "canceling",
                        "ended",
                        "settled",
                        "cancelled",
                        "failed",
                    ]
                ),
                name="gateway_batch_status_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(status__in=["in_progress", "canceling", "ended", "settled"])
                | models.Q(provider_batch_id__isnull=False),
                name="gateway_batch_taken_has_id",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=models.Q(status__in=["queued", "submitting", "in_progress", "canceling", "ended"]),
                name="gateway_batch_due",
            )
        ]

    def __str__(self) -> str:
        return f"batch {self.pk} of {self.model} at {self.provider}"


class BatchRequest(models.Model):
    """A call that goes with a batch; the call's id is the custom id by which its result is known.

    `request`, which holds the prompt, is deleted once the request has ended. `is_told` once its step knows of its end.
    """

    class Status(models.TextChoices):
        PENDING = "pending"  # surely not sent
        SUBMITTED = "submitted"  # sent, or about to be
        SUCCEEDED = "succeeded"
        ERRORED = "errored"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn"  # nobody waits for it; if it was sent, its result is still settled

    call = models.OneToOneField("Call", primary_key=True, on_delete=models.CASCADE, related_name="batched")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    workflow_id = models.UUIDField()
    step_id = models.UUIDField()
    ordinal = models.PositiveIntegerField()
    request_hash = models.CharField(max_length=64)
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=200, help_text="As the provider calls it.")
    request = models.JSONField(null=True)
    request_bytes = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    batch = models.ForeignKey(ProviderBatch, null=True, on_delete=models.PROTECT, related_name="requests")
    is_told = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "request of a batch"
        verbose_name_plural = "requests of batches"
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["step_id", "ordinal"], name="gateway_batchrequest_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "submitted"], ended_at=None)
                | models.Q(
                    status__in=["succeeded", "errored", "cancelled", "expired", "withdrawn"],
                    ended_at__isnull=False,
                    request__isnull=True,
                ),
                name="gateway_batchrequest_ended",
            ),
        ]
        indexes = [
            models.Index(
                fields=["provider", "model", "created_at"],
                condition=models.Q(status="pending", batch=None),
                name="gateway_batchrequest_ungrouped",
            ),
            models.Index(
                fields=["step_id"],
                condition=models.Q(status__in=["pending", "submitted"]),
                name="gateway_batchrequest_open",
            ),
            models.Index(
                fields=["step_id"],
                condition=models.Q(
                    status__in=["succeeded", "errored", "cancelled", "expired"], is_told=False
                ),
                name="gateway_batchrequest_untold",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
