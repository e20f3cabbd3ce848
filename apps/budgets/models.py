"""The ledger."""

from django.db import models
from django.db.models.functions import Now

from apps.tenants.models import Tenant


class LedgerEntry(models.Model):
    """What one settled call cost, for ever: the database refuses to change or delete an entry.

    Money is integer micro-dollars. Token buckets are as the provider reported them: `input_tokens` excludes
    what was written to or read from its prompt cache. Uniqueness by call lives on gateway.Call.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", db_index=False)
    workflow_id = models.UUIDField()
    step_id = models.UUIDField()
    call_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    task_type = models.CharField(max_length=64)
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    kind = models.CharField(max_length=16, default="call")
    input_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    cache_write_5m_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_1h_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    price_version = models.CharField(max_length=64)
    cost_usd_micros = models.PositiveBigIntegerField()
    estimated = models.BooleanField(default=False)
    provider_request_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["tenant", "created_at"], name="budgets_ledger_tenant_time"),
            models.Index(fields=["workflow_id"], name="budgets_ledger_workflow"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(cost_usd_micros__gte=0), name="budgets_ledger_cost_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.cost_usd_micros} µ$"
