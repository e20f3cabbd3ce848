"""Answers that are kept, the vectors of what they answer, and how far they are trusted."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField, HnswIndex

from agentplatform.embedding.vectors import DIMENSIONS
from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant


class CacheEntry(models.Model):
    """An answer that may serve again: to the same request (`key_hash`), or to one that means the same.

    `use_case` is the step it was made for; `scope_hash` is over all that must be equal for one answer to serve another
    question; `subject` is the question, "" where the answer only serves the very same request. Past `expires_at` it
    serves only where nothing else may be bought.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    use_case = models.CharField(max_length=130)
    scope_hash = models.CharField(max_length=64)
    key_hash = models.CharField(max_length=64)
    subject = models.TextField(blank=True)
    response = models.JSONField()
    worth_usd_micros = models.BigIntegerField(
        help_text="What it costs at the price of its tier, made at once and with nothing cached."
    )
    source_workflow_id = models.UUIDField(help_text="The run that it was bought for.")
    source_call_id = models.UUIDField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "cache entries"
        ordering = ["-created_at"]
        permissions = [("purge_cacheentry", "Can purge cached answers")]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key_hash"], name="gateway_cache_key"),
        ]
        indexes = [
            models.Index(fields=["source_workflow_id"], name="gateway_cache_source"),
            models.Index(fields=["tenant", "use_case", "-created_at"], name="gateway_cache_use_case"),
            models.Index(fields=["expires_at"], name="gateway_cache_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.use_case} {self.key_hash[:12]}"


class CacheVector(models.Model):
    """The vector of an entry's subject. A table of its own keeps its rows narrow: a small scope is read row by row."""

    entry = models.OneToOneField(
        CacheEntry, on_delete=models.CASCADE, primary_key=True, related_name="vector"
    )
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    scope_hash = models.CharField(max_length=64)
    model = models.CharField(max_length=64)
    vector = HalfVectorField(dimensions=DIMENSIONS)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "scope_hash", "model"], name="gateway_cachevector_scope"),
            HnswIndex(
                fields=["vector"],
                m=16,
                ef_construction=64,
                opclasses=["halfvec_ip_ops"],
                name="gateway_cachevector_hnsw",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} by {self.model}"


class CacheScope(models.Model):
    """How far answers by meaning are trusted for one use case of a tenant: set by operators, moved by what is observed.

    `threshold` is the least probability, as the pair scorer gives it, at which an answer is served.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    use_case = models.CharField(max_length=130)
    is_enabled = models.BooleanField(default=True, help_text="Whether questions are answered by meaning.")
    pinned_threshold = models.FloatField(
        null=True, blank=True, help_text="Holds in place of the one that is learned; empty to learn it."
    )
    error_bound = models.FloatField(
        default=0.01, db_default=0.01, help_text="The share of wrong answers that is put up with."
    )
    checked_share = models.FloatField(
        default=0.05, db_default=0.05, help_text="The share of hits that is also answered live and compared."
    )
    threshold = models.FloatField(null=True, editable=False, help_text="As it is learned; none: the default.")
    checked = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    wrong = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    switched_off_at = models.DateTimeField(null=True, editable=False, help_text="It switched itself off.")
    switched_off_because = models.CharField(
        max_length=300, blank=True, default="", db_default="", editable=False
    )
    observed_since = models.DateTimeField(
        null=True,
        editable=False,
        help_text="What was checked before it was switched on again counts no more.",
    )
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["tenant", "use_case"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "use_case"], name="gateway_cachescope_once"),
            models.CheckConstraint(
                condition=models.Q(error_bound__gt=0, error_bound__lt=1)
                & models.Q(checked_share__gte=0, checked_share__lte=1)
                & (
                    models.Q(pinned_threshold=None)
                    | models.Q(pinned_threshold__gte=0, pinned_threshold__lte=1)
                ),
                name="gateway_cachescope_shares",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.use_case} of {self.tenant_id}"


class CacheCheck(models.Model):
    """A hit by meaning that is looked at: answered live in the background and compared, or complained of by a user."""

    class Status(models.TextChoices):
        PENDING = "pending"  # waits to be answered live
        ASKED = "asked"  # a run answers it
        AGREED = "agreed"  # both answers say the same
        DIFFERED = "differed"  # the cached answer was wrong
        FAILED = "failed"  # there is no live answer to compare it with

    class Source(models.TextChoices):
        SAMPLE = "sample"
        FEEDBACK = "feedback"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    use_case = models.CharField(max_length=130)
    call_id = models.UUIDField(help_text="The call that the cached answer was served to.")
    workflow_id = models.UUIDField()
    entry_id = models.UUIDField()
    similarity = models.FloatField()
    probability = models.FloatField()
    source = models.CharField(
        max_length=16, choices=Source.choices, default=Source.SAMPLE, db_default="sample"
    )
    status = models.CharField(
        max_length=16, choices=Status.choices, default=Status.PENDING, db_default="pending"
    )
    request = models.JSONField(null=True, help_text="What was asked; forgotten once it is decided.")
    served = models.JSONField(null=True, help_text="The cached answer; forgotten once it is decided.")
    check_workflow_id = models.UUIDField(null=True, help_text="The run that answers it live.")
    created_at = models.DateTimeField(db_default=Now())
    asked_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["call_id", "source"], name="gateway_cachecheck_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "use_case", "-decided_at"], name="gateway_cachecheck_scope"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=["pending", "asked"]),
                name="gateway_cachecheck_open",
            ),
            models.Index(
                fields=["asked_at"],
                condition=models.Q(asked_at__isnull=False),
                name="gateway_cachecheck_asked",
            ),
            models.Index(
                fields=["workflow_id"],
                condition=models.Q(source="feedback"),
                name="gateway_cachecheck_complaint",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} check of {self.call_id}"
