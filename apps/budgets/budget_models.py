"""What may be spent: budgets, overrides that expire, and what happened at their thresholds. Imported with `models`."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from agentplatform.budgets.thresholds import Level, Thresholds
from apps.tenants.models import ApiKey, Tenant, TenantTier

CAPS = ("daily_usd_micros", "monthly_usd_micros", "daily_tokens", "monthly_tokens")
"""The caps of a budget; one that is null is none."""

_PERCENT = [MinValueValidator(1), MaxValueValidator(100)]


class Scope(models.TextChoices):
    """Whose spending a budget caps."""

    PLATFORM = "platform", "Platform: all tenants together"
    TIER = "tier", "Tier: all its tenants together"
    EACH_TENANT = "each_tenant", "Each tenant of a tier that has no budget of its own"
    TENANT = "tenant", "Tenant"
    API_KEY = "api_key", "API key"
    TASK_TYPE = "task_type", "Task type (of one tenant, or of all)"


class Period(models.TextChoices):
    """How long a window of a budget lasts."""

    DAY = "day"
    MONTH = "month"


LEVELS = [(level.value, level.name.title()) for level in Level]


def percent(default: int | None, help_text: str) -> models.PositiveSmallIntegerField:
    return models.PositiveSmallIntegerField(
        default=default, null=True, blank=True, validators=_PERCENT, help_text=help_text
    )


class Budget(models.Model):
    """Caps on spending by day and by month, in money and in tokens, and what happens on the way there.

    `generation` grows when it begins to count anew (scope, time zone, being switched on): its windows are of one
    generation, and begin at what the ledger says since their start. A dry run notes and tells, and holds nothing.
    """

    name = models.CharField(max_length=100, unique=True)
    scope = models.CharField(max_length=16, choices=Scope.choices)
    tier = models.ForeignKey(TenantTier, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    task_type = models.CharField(max_length=64, blank=True)
    daily_usd_micros = models.BigIntegerField(null=True, blank=True)
    monthly_usd_micros = models.BigIntegerField(null=True, blank=True)
    daily_tokens = models.BigIntegerField(null=True, blank=True)
    monthly_tokens = models.BigIntegerField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Where its days and months begin.")
    is_enabled = models.BooleanField(default=True)
    is_dry_run = models.BooleanField(
        default=False, help_text="Only notes and tells what it would do; holds nothing back."
    )
    alert_percent = percent(80, "From here on somebody is told; empty: never.")
    degrade_percent = percent(90, "From here on cheaper tiers answer; empty: never.")
    throttle_percent = percent(95, "From here on fewer steps run at once, and start a minute; empty: never.")
    shutoff_percent = models.PositiveSmallIntegerField(
        default=100, validators=_PERCENT, help_text="So much of each cap is ever spent; steps are held then."
    )
    throttle_to_percent = models.PositiveSmallIntegerField(
        default=25,
        validators=_PERCENT,
        help_text="The share of concurrency and rates that a throttle leaves.",
    )
    rearm_points = models.PositiveSmallIntegerField(
        default=5,
        validators=[MaxValueValidator(50)],
        help_text="An action ends, and may begin again, so many points below its threshold.",
    )
    generation = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["scope", "name"]
        constraints = [
            models.CheckConstraint(
                name="budgets_budget_scope_has_its_subject",
                condition=(
                    models.Q(scope="platform", tier=None, tenant=None, api_key=None, task_type="")
                    | models.Q(
                        scope__in=["tier", "each_tenant"],
                        tier__isnull=False,
                        tenant=None,
                        api_key=None,
                        task_type="",
                    )
                    | models.Q(scope="tenant", tier=None, tenant__isnull=False, api_key=None, task_type="")
                    | models.Q(scope="api_key", tier=None, tenant=None, api_key__isnull=False, task_type="")
                    | models.Q(scope="task_type", tier=None, api_key=None) & ~models.Q(task_type="")
                ),
            ),
            models.UniqueConstraint(
                fields=["scope", "tier", "tenant", "api_key", "task_type"],
                name="budgets_budget_one_each",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="budgets_budget_caps_not_negative",
                condition=models.Q(*((f"{cap}__gte", 0) for cap in CAPS)),
            ),
            models.CheckConstraint(
                name="budgets_budget_percents",
                condition=models.Q(
                    alert_percent__range=(1, 100),
                    degrade_percent__range=(1, 100),
                    throttle_percent__range=(1, 100),
                    shutoff_percent__range=(1, 100),
                    throttle_to_percent__range=(1, 100),
                    rearm_points__lte=50,
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def thresholds(self) -> Thresholds:
        """From where on its actions are in force."""
        return Thresholds(
            alert=self.alert_percent,
            degrade=self.degrade_percent,
            throttle=self.throttle_percent,
            shutoff=self.shutoff_percent,
            rearm_points=self.rearm_points,
        )


class BudgetOverride(models.Model):
    """Other caps for a while; a cap that is null stays as it is. Of several, the latest that says something holds."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="overrides")
    daily_usd_micros = models.BigIntegerField(null=True, blank=True)
    monthly_usd_micros = models.BigIntegerField(null=True, blank=True)
    daily_tokens = models.BigIntegerField(null=True, blank=True)
    monthly_tokens = models.BigIntegerField(null=True, blank=True)
    starts_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="budgets_override_ends_after_it_starts",
                condition=models.Q(expires_at__gt=models.F("starts_at")),
            ),
            models.CheckConstraint(
                name="budgets_override_caps_not_negative",
                condition=models.Q(*((f"{cap}__gte", 0) for cap in CAPS)),
            ),
        ]

    def __str__(self) -> str:
        return f"override of {self.budget} until {self.expires_at:%Y-%m-%d %H:%M}"


class ThresholdCrossing(models.Model):
    """An action of a budget that began: once a window, and again only after it had ended."""

    window = models.ForeignKey("budgets.BudgetWindow", on_delete=models.CASCADE, related_name="crossings")
    level = models.PositiveSmallIntegerField(choices=LEVELS)
    used_percent = models.FloatField()
    cap = models.CharField(max_length=16, help_text="Which cap it was of: money or tokens.")
    is_dry_run = models.BooleanField()
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["window", "level"],
                condition=models.Q(ended_at=None),
                name="budgets_crossing_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{Level(self.level).name.lower()} of {self.window}"
