"""Queues and what admission keeps of them: settings, lanes, tenants' allowances, pace."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from agentplatform.execution.retry import RetryPolicy
from apps.tenants.models import Tenant, TenantTier


class QueueConfig(models.Model):
    """A queue by kind of work: how much of it runs at once, for how long, and how often it is tried.

    Its workers may be lent to another queue, and others lent to it (agentplatform.workflows.queueing).
    Two fields belong to admission, each by pool of workers: `virtual_times`, the start tag of the last step that it
    admitted, and `recent_tenants`, the two tenants that it admitted last, and when.
    """

    name = models.SlugField(primary_key=True, max_length=32)
    priority = models.PositiveIntegerField(default=50)
    max_concurrent = models.PositiveIntegerField(default=100)
    step_timeout_seconds = models.PositiveIntegerField(default=120)
    max_attempts = models.PositiveIntegerField(default=3)
    base_backoff_seconds = models.FloatField(default=5.0)
    max_backoff_seconds = models.FloatField(default=60.0)
    max_lost_workers = models.PositiveIntegerField(
        default=3,
        db_default=3,
        help_text="A step on which so many workers were lost is taken to be what kills them: it is a dead letter.",
    )
    dedicated_slots = models.PositiveIntegerField(
        default=5,
        db_default=5,
        help_text="Slots that its own workers should have. What is not lendable of them is never lent.",
    )
    lendable_slots = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How many of its own slots may be lent to another queue."
    )
    borrowable_slots = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How many slots of other queues it may borrow."
    )
    borrow_after_seconds = models.FloatField(
        default=10.0, db_default=10.0, help_text="It borrows once a step has waited for a slot so long."
    )
    quantum_tokens = models.PositiveIntegerField(
        default=10_000, help_text="How far a tenant may run ahead of the others before it waits its turn."
    )
    virtual_time = models.FloatField(
        default=0.0, editable=False
    )  # where pools begin that have none of their own
    virtual_times = models.JSONField(default=dict, db_default={}, editable=False)
    recent_tenants = models.JSONField(default=dict, db_default={}, editable=False)

    class Meta:
        verbose_name = "queue"
        ordering = ["-priority"]

    def __str__(self) -> str:
        return self.name

    def retry_policy(self, max_attempts: int) -> RetryPolicy:
        """How a step of this queue is retried, which may fail at most `max_attempts` times."""
        return RetryPolicy(
            max_attempts, self.base_backoff_seconds, self.max_backoff_seconds, self.max_lost_workers
        )


class QueuePool(models.Model):
    """A tier's pool in a queue: its own share of the slots, beside what its tenants' weights give them."""

    queue = models.ForeignKey(QueueConfig, on_delete=models.CASCADE, related_name="pools")
    tier = models.ForeignKey(TenantTier, on_delete=models.CASCADE, related_name="+")
    guaranteed_percent = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Percent of the slots that its tenants get first, however many others wait.",
    )
    max_concurrent = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How many steps of all its tenants may run at once; empty for no limit.",
    )

    class Meta:
        verbose_name = "pool"
        ordering = ["queue_id", "tier_id"]
        constraints = [models.UniqueConstraint(fields=["queue", "tier"], name="workflows_pool_once")]

    def __str__(self) -> str:
        return f"{self.queue_id} / {self.tier_id}"


class QueuePace(models.Model):
    """How long the steps of a queue take: seconds and steps, both fading with a half-life of some minutes."""

    queue = models.OneToOneField(
        QueueConfig, primary_key=True, on_delete=models.CASCADE, related_name="pace", db_constraint=False
    )
    steps = models.FloatField(default=0.0)
    seconds = models.FloatField(default=0.0)
    updated_at = models.DateTimeField(db_default=Now())


class Allowance(models.Model):
    """What a tenant has used of its limits per minute.

    Each time is when the allowance will be whole again if nothing more is used: the theoretical arrival time of
    the generic cell rate algorithm (agentplatform.rates).
    """

    tenant = models.OneToOneField(
        Tenant, primary_key=True, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    steps_due_at = models.DateTimeField(db_default=Now())
    tokens_due_at = models.DateTimeField(db_default=Now())


class Lane(models.Model):
    """(queue, tenant) in fair admission: how much of the queue the tenant has had, over its weight.

    `held`: its steps wait for limits of their own, so that nobody has to make room for them. `must_yield`: it has
    more slots than it should, so that none of them goes on with a next step.
    """

    pk = models.CompositePrimaryKey("queue_id", "tenant_id")
    queue = models.ForeignKey(QueueConfig, on_delete=models.CASCADE, related_name="lanes")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    virtual_time = models.FloatField(default=0.0)
    backlogged = models.BooleanField(default=False)
    held = models.BooleanField(default=False, db_default=False)
    must_yield = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["queue", "virtual_time"],
                condition=models.Q(backlogged=True),
                name="workflows_lane_backlogged",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue_id} / {self.tenant_id}"
