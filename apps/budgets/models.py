"""The ledger, and its sums by the hour."""

from django.db import models
from django.db.models.functions import Now

from apps.budgets.budget_models import Budget, BudgetOverride, Period, Scope, ThresholdCrossing
from apps.budgets.window_models import BudgetHold, BudgetWindow, Reservation, Slice, WindowSet, WindowUsage
from apps.tenants.models import Tenant

__all__ = [
    "Budget",
    "BudgetHold",
    "BudgetOverride",
    "BudgetWindow",
    "HourlyAnswers",
    "HourlySpend",
    "LedgerEntry",
    "Period",
    "Reservation",
    "Scope",
    "Slice",
    "ThresholdCrossing",
    "WindowSet",
    "WindowUsage",
]


class LedgerEntry(models.Model):
    """What one attempt of a call cost, for ever: the database refuses to change or delete an entry.

    Money is integer micro-dollars. Token buckets are as the provider reported them: `input_tokens` excludes
    what was written to or read from its prompt cache. Uniqueness by call lives on gateway.Call. What turns out to
    have been otherwise is corrected by an entry of kind `correction`, whose numbers are differences.
    """

    class Kind(models.TextChoices):
        CALL = "call"
        BATCH = "batch"
        EMBEDDING = "embedding"
        CACHE_HIT = "cache_hit"
        CORRECTION = "correction"
        TOOL = "tool"

    class Outcome(models.TextChoices):
        SETTLED = "settled"
        FAILED = "failed"
        UNKNOWN = "unknown"  # nobody came back to tell: entered at its worst case

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    tenant_tier = models.CharField(max_length=32, default="", db_default="")
    api_key_id = models.UUIDField(null=True)
    workflow_id = models.UUIDField()
    step_id = models.UUIDField()
    call_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    task_type = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.CALL)
    outcome = models.CharField(
        max_length=16, choices=Outcome.choices, default="settled", db_default="settled"
    )
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    served_tokens = models.BigIntegerField(
        default=0, db_default=0, help_text="Tokens of an answer that was served without being bought again."
    )
    cache_layer = models.CharField(
        max_length=16,
        default="",
        db_default="",
        help_text="Of a cache hit: exact, semantic, in_flight, or workflow.",
    )
    price_version = models.CharField(max_length=64)
    cost_usd_micros = models.BigIntegerField(help_text="What was billed.")
    avoided_usd_micros = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="What it would have cost more, made at once and with nothing cached.",
    )
    estimated = models.BooleanField(default=False)
    provider_request_id = models.CharField(max_length=128, blank=True)
    window_set_id = models.BigIntegerField(null=True, help_text="The windows of budgets that it counts in.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["tenant", "created_at"], name="budgets_ledger_tenant_time"),
            models.Index(fields=["workflow_id"], name="budgets_ledger_workflow"),
            models.Index(fields=["created_at"], name="budgets_ledger_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="correction")
                | models.Q(
                    cost_usd_micros__gte=0,
                    input_tokens__gte=0,
                    output_tokens__gte=0,
                    cache_write_5m_tokens__gte=0,
                    cache_write_1h_tokens__gte=0,
                    cache_read_tokens__gte=0,
                ),
                name="budgets_ledger_only_corrections_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.cost_usd_micros} µ$"


class HourlySpend(models.Model):
    """The ledger summed up by the hour (UTC): what pages and projections read instead of every entry."""

    hour = models.DateTimeField()
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    tenant_tier = models.CharField(max_length=32, default="")
    api_key_id = models.UUIDField(null=True)
    task_type = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    calls = models.BigIntegerField()
    input_tokens = models.BigIntegerField(help_text="All of them, from whichever bucket.")
    output_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField(default=0)
    served_tokens = models.BigIntegerField(default=0)
    cost_usd_micros = models.BigIntegerField()
    avoided_usd_micros = models.BigIntegerField(default=0)
    unknown_usd_micros = models.BigIntegerField(
        default=0, help_text="Of the cost: entered at its worst case."
    )

    class Meta:
        indexes = [models.Index(fields=["tenant", "hour"], name="budgets_hourly_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "hour",
                    "tenant",
                    "tenant_tier",
                    "api_key_id",
                    "task_type",
                    "agent",
                    "tier",
                    "provider",
                    "model",
                    "kind",
                ],
                name="budgets_hourly_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.tenant_id} {self.cost_usd_micros} µ$"


class HourlyAnswers(models.Model):
    """By the hour (UTC), how many answers were bought and how many came from each layer of the cache.

    A table of its own beside HourlySpend: a layer in that one's key would have broken those who add up by the old key.
    """

    hour = models.DateTimeField()
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    task_type = models.CharField(max_length=64)
    cache_layer = models.CharField(
        max_length=16, help_text="As in the ledger; empty for those that were bought."
    )
    answers = models.BigIntegerField(
        help_text="Calls that were answered; a run's result given again counts once."
    )
    served_tokens = models.BigIntegerField(help_text="Of answers that were not bought.")
    avoided_usd_micros = models.BigIntegerField(help_text="Of answers that were not bought.")

    class Meta:
        indexes = [models.Index(fields=["tenant", "hour"], name="budgets_answers_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "tenant", "task_type", "cache_layer"], name="budgets_answers_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.tenant_id} {self.answers} {self.cache_layer or 'bought'}"
