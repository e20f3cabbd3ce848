"""The call journal."""

from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Now

from apps.gateway.batch_models import BatchRequest, ProviderBatch
from apps.gateway.cache_models import CacheCheck, CacheEntry, CacheScope, CacheVector
from apps.gateway.provider_models import (
    CircuitTrip,
    ModelPrice,
    ModelTier,
    Provider,
    ProviderRate,
    TierProvider,
)
from apps.tenants.models import Tenant

__all__ = [
    "BatchRequest",
    "CacheCheck",
    "CacheEntry",
    "CacheScope",
    "CacheVector",
    "Call",
    "CircuitTrip",
    "ModelPrice",
    "ModelTier",
    "Provider",
    "ProviderBatch",
    "ProviderRate",
    "TierProvider",
]


class Call(models.Model):
    """One model call: written before it is made, settled when the provider has answered.

    A settled call is known by (step, ordinal, request hash) and replayed on later attempts of its step, so
    that no answer is bought twice.
    """

    class Status(models.TextChoices):
        STARTED = "started"  # sent, or about to be
        SETTLED = "settled"  # answered and paid for
        FAILED = "failed"  # refused, or broken off: then what had been billed by then is in the ledger
        UNKNOWN = "unknown"  # its worker was lost: what it cost is not known

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    workflow_id = models.UUIDField()
    step_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    ordinal = models.PositiveIntegerField(help_text="The how-manieth call of its step this is, from 0.")
    request_hash = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status.choices)
    task_type = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    lane = models.CharField(
        max_length=8, default="live", db_default="live", help_text="live, or batch: at half price, and later."
    )
    complexity = models.FloatField(null=True, help_text="In [0, 1]; none where the tier was pinned.")
    routing_reason = models.CharField(
        max_length=200, default="", db_default="", help_text="Why it was sent to its tier."
    )
    escalated_from = models.CharField(
        max_length=16, default="", db_default="", help_text="The tier whose answer was not good enough."
    )
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="How much of the input the provider had in its prompt cache."
    )
    cost_usd_micros = models.PositiveBigIntegerField(default=0)
    estimated = models.BooleanField(default=False)
    provider_request_id = models.CharField(max_length=128, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    response = models.JSONField(null=True)
    cache = models.JSONField(
        null=True,
        help_text="Where its answer was kept, if it was not bought: layer, similarity, age, the run it is from.",
    )
    started_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["step_id", "ordinal"], name="gateway_call_step"),
            models.Index(fields=["workflow_id"], name="gateway_call_workflow"),
            models.Index(
                fields=["started_at"], condition=models.Q(status="started"), name="gateway_call_in_flight"
            ),
            models.Index(
                fields=["-id"],
                condition=models.Q(status__in=["failed", "unknown"]),
                name="gateway_call_failed",
            ),
            # What an operator looks for and is rare: calls that do not belong to it cost these indexes nothing.
            models.Index(
                fields=["-id"], condition=~models.Q(escalated_from=""), name="gateway_call_escalated"
            ),
            models.Index(fields=["-id"], condition=~models.Q(lane="live"), name="gateway_call_later"),
            # Whom a run's answers were given to, when they turn out to be wrong.
            models.Index(
                KT("cache__source_workflow_id"),
                condition=models.Q(cache__isnull=False),
                name="gateway_call_cache_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} call {self.ordinal} of step {self.step_id}"
