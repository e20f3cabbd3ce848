"""How budgets are counted: windows, slices leased from them, reservations. Imported with `models`."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from agentplatform.budgets.thresholds import Level, Usage
from apps.budgets.budget_models import LEVELS, Budget, Period
from apps.tenants.models import Tenant


class BudgetWindow(models.Model):
    """One day or month of a budget: its counters. It is keyed by its period, so nothing has to reset it.

    What it has used is `opening` (what the ledger said when counting began) + `spent` + what its slices have spent.
    `leased` is what slices hold of it, with what they have reserved and spent; `reserved` was taken straight from it.
    Changed only by functions of the database.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="windows")
    generation = models.PositiveIntegerField()
    tenant = models.ForeignKey(
        Tenant,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Of a budget for each tenant.",
    )
    period = models.CharField(max_length=8, choices=Period.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    opening_usd_micros = models.BigIntegerField(default=0)
    opening_tokens = models.BigIntegerField(default=0)
    leased_usd_micros = models.BigIntegerField(default=0)
    leased_tokens = models.BigIntegerField(default=0)
    reserved_usd_micros = models.BigIntegerField(default=0)
    reserved_tokens = models.BigIntegerField(default=0)
    spent_usd_micros = models.BigIntegerField(default=0)
    spent_tokens = models.BigIntegerField(default=0)
    level = models.PositiveSmallIntegerField(choices=LEVELS, default=Level.NONE)
    refused_usd_micros = models.BigIntegerField(
        null=True, help_text="The least that it had no room for, though nothing was in flight."
    )
    refused_tokens = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-starts_at", "budget"]
        indexes = [models.Index(fields=["ends_at"], name="budgets_window_end")]
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "generation", "tenant", "period", "starts_at"],
                name="budgets_window_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget}, {self.period} from {self.starts_at:%Y-%m-%d}"


class WindowUsage(models.Model):
    """How a window stands now, its slices counted in: a view. A cap or a room that is null is not limited."""

    window = models.OneToOneField(
        BudgetWindow, primary_key=True, db_column="id", on_delete=models.DO_NOTHING, related_name="usage"
    )
    cap_usd_micros = models.BigIntegerField(null=True)
    cap_tokens = models.BigIntegerField(null=True)
    used_usd_micros = models.BigIntegerField()
    used_tokens = models.BigIntegerField()
    in_flight_usd_micros = models.BigIntegerField()
    in_flight_tokens = models.BigIntegerField()
    room_usd_micros = models.BigIntegerField(null=True)
    room_tokens = models.BigIntegerField(null=True)
    used_percent = models.FloatField(help_text="Of the cap that is used most.")
    is_exhausted = models.BooleanField()

    class Meta:
        managed = False
        db_table = "budgets_window_usage"

    def __str__(self) -> str:
        return f"{self.used_percent:.0f} % of {self.window}"

    @property
    def as_usage(self) -> Usage:
        """What the thresholds are held against."""
        return Usage(
            money_percent=_percent(self.used_usd_micros, self.cap_usd_micros),
            token_percent=_percent(self.used_tokens, self.cap_tokens),
            is_exhausted=self.is_exhausted,
        )


def _percent(used: int, cap: int | None) -> float | None:
    if cap is None:
        return None
    return 100.0 * used / cap if cap else 100.0


class WindowSet(models.Model):
    """The windows that the spending of one tenant, key and task type counts in. Never changed, but for its end."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    api_key_id = models.UUIDField(null=True)
    task_type = models.CharField(max_length=64)
    tenant_tier = models.CharField(max_length=32)
    windows = ArrayField(models.BigIntegerField())
    max_in_flight = models.PositiveIntegerField(
        null=True,
        help_text="How many calls may be in flight, where a budget of its key or task type throttles.",
    )
    valid_until = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "task_type", "valid_until"], name="budgets_windowset_of"),
            models.Index(fields=["valid_until"], name="budgets_windowset_end"),
        ]


class Slice(models.Model):
    """A part of all the windows of a set, leased durably, from which calls are reserved without touching these.

    `epoch` is the start of the database server that leased it: after a crash, reservations that were not flushed may
    be missing from it, and what is left of it is not given out again before every call of then has ended.
    """

    id = models.BigAutoField(primary_key=True)
    window_set = models.ForeignKey(WindowSet, on_delete=models.CASCADE, related_name="+")
    granted_usd_micros = models.BigIntegerField()
    granted_tokens = models.BigIntegerField()
    reserved_usd_micros = models.BigIntegerField(default=0)
    reserved_tokens = models.BigIntegerField(default=0)
    spent_usd_micros = models.BigIntegerField(default=0)
    spent_tokens = models.BigIntegerField(default=0)
    epoch = models.DateTimeField()
    used_at = models.DateTimeField(db_default=Now())


class Reservation(models.Model):
    """The worst case of a call that was started and is not settled yet; gone with its settlement.

    Without a slice it was taken straight from the windows of its set. Calls in flight have one each, no others.
    """

    call_id = models.UUIDField(primary_key=True)
    window_set_id = models.BigIntegerField()
    slice_id = models.BigIntegerField(null=True)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    workflow_id = models.UUIDField(db_index=True)
    step_id = models.UUIDField()
    attempt = models.IntegerField()
    lane = models.CharField(max_length=8)
    usd_micros = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.usd_micros} µ$ for call {self.call_id}"


class BudgetHold(models.Model):
    """A step that waits for budget, and how much of it: what is looked through when there is room again."""

    step_id = models.UUIDField(primary_key=True)
    workflow_id = models.UUIDField(db_index=True)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    api_key_id = models.UUIDField(null=True)
    task_type = models.CharField(max_length=64)
    usd_micros = models.BigIntegerField()
    tokens = models.BigIntegerField()
    held_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["held_at"]

    def __str__(self) -> str:
        return f"step {self.step_id} waits for {self.usd_micros} µ$"
