"""Notices, whom they are told to, and each delivery of one."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant


class Audience(models.TextChoices):
    """Whom a notice is for."""

    TENANT = "tenant"
    OPERATORS = "operators"
    BOTH = "both"


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Notice(models.Model):
    """Something that a tenant, or the operators, should know. Its data are ids and numbers, never a prompt or output.

    Of two notices with one `dedup_key` the second is not made.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    audience = models.CharField(max_length=16, choices=Audience.choices)
    code = models.CharField(max_length=64)
    severity = models.CharField(max_length=16, choices=Severity.choices)
    title = models.CharField(max_length=200)
    message = models.TextField()
    data = models.JSONField(default=dict)
    dedup_key = models.CharField(max_length=200, null=True, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        editable=False,
    )

    class Meta:
        ordering = ["-id"]
        permissions = [("acknowledge_notice", "Can acknowledge notices")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(audience__in=Audience.values), name="notifications_notice_audience_known"
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=Severity.values), name="notifications_notice_severity_known"
            ),
            models.CheckConstraint(
                condition=models.Q(audience=Audience.OPERATORS) | models.Q(tenant__isnull=False),
                name="notifications_notice_tenant_known",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="notifications_notice_tenant"),
            models.Index(
                fields=["-id"],
                condition=models.Q(acknowledged_at=None, audience__in=["operators", "both"]),
                name="notifications_notice_unread",
            ),
            models.Index(fields=["created_at"], name="notifications_notice_age"),
        ]

    def __str__(self) -> str:
        return self.title


class Endpoint(models.Model):
    """A URL that webhooks are sent to: a tenant's, or the operators' where there is no tenant.

    Without `events` it is sent all. Secrets are stored encrypted; while the previous one has not expired, both sign.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="webhooks", db_index=False
    )
    url = models.CharField("URL", max_length=2000)
    description = models.CharField(max_length=200, blank=True, default="")
    events = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, default="", editable=False)
    previous_secret_expires_at = models.DateTimeField(null=True, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    disabled_reason = models.CharField(max_length=200, blank=True, default="", editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "webhook endpoint"
        ordering = ["-id"]
        permissions = [("operate_endpoint", "Can test webhook endpoints and rotate their secrets")]
        indexes = [models.Index(fields=["tenant", "-id"], name="notifications_endpoint_tenant")]

    def __str__(self) -> str:
        return self.description or self.url.partition("?")[0]


class Recipient(models.Model):
    """An e-mail address that is told of notices: a tenant's contact, or an operator where there is no tenant."""

    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="recipients"
    )
    email = models.EmailField("e-mail address")
    events = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        help_text="Codes of notices, separated by commas; empty: all.",
    )
    min_severity = models.CharField(
        max_length=16,
        choices=Severity.choices,
        default=Severity.INFO,
        help_text="Nothing below this is sent.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "e-mail recipient"
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "email"], name="notifications_recipient_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(min_severity__in=Severity.values),
                name="notifications_recipient_severity_known",
            ),
        ]

    def __str__(self) -> str:
        return self.email


class Delivery(models.Model):
    """One event on its way to one destination, until it is delivered, has failed for good or is skipped.

    `next_attempt_at` is when it is tried next; while a process tries, it and `leased_until` are when that process is
    given up. `lease` grows with every taking: who does not hold the latest changes nothing. `event_id` is the same for
    every destination of an event and for every attempt.
    """

    class Channel(models.TextChoices):
        WEBHOOK = "webhook"
        EMAIL = "email"

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"
        SKIPPED = "skipped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Written where a workflow ends, which neither waits for an endpoint that is being deleted nor fails with it.
    tenant = models.ForeignKey(
        Tenant, null=True, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    endpoint = models.ForeignKey(
        Endpoint,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
    )
    notice = models.ForeignKey(
        Notice, null=True, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    channel = models.CharField(max_length=16, choices=Channel.choices)
    email = models.EmailField(blank=True, default="", db_default="")
    event_type = models.CharField(max_length=64)
    event_id = models.UUIDField()
    data = models.JSONField(null=True, help_text="Of a webhook's body.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    reason = models.CharField(
        max_length=300, blank=True, default="", db_default="", help_text="Why it was skipped, or failed last."
    )
    attempts = models.PositiveIntegerField(default=0, db_default=0, help_text="Since it was last asked for.")
    lease = models.PositiveIntegerField(default=0, db_default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        permissions = [("redeliver_delivery", "Can have deliveries made again")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(channel="webhook", endpoint__isnull=False, email="")
                | (models.Q(channel="email", endpoint=None, notice__isnull=False) & ~models.Q(email="")),
                name="notifications_delivery_has_destination",
            ),
            models.CheckConstraint(
                condition=models.Q(status="pending", finished_at=None)
                | models.Q(status__in=["delivered", "failed", "skipped"], finished_at__isnull=False),
                name="notifications_delivery_ended",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(status="pending"),
                name="notifications_delivery_due",
            ),
            models.Index(
                fields=["endpoint"],
                condition=models.Q(status="pending"),
                name="notifications_delivery_pending",
            ),
            models.Index(
                fields=["leased_until"],
                condition=models.Q(leased_until__isnull=False),
                name="notifications_delivery_leased",
            ),
            models.Index(fields=["endpoint", "-id"], name="notifications_delivery_log"),
            models.Index(fields=["notice"], name="notifications_delivery_notice"),
            models.Index(fields=["finished_at"], name="notifications_delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} by {self.channel}"


class DeliveryAttempt(models.Model):
    """One try of a delivery. Of an answer only its status is kept, and the beginning of one that refused."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    started_at = models.DateTimeField()
    duration_seconds = models.FloatField()
    status_code = models.PositiveSmallIntegerField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=300, blank=True)
    response_excerpt = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.error_code or str(self.status_code)
