"""What is kept of projections, profiles, drift and plans."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.budgets.models import BudgetWindow
from apps.insights.capacity_models import CapacityPlan
from apps.insights.drift_models import DriftReading, DriftReference, DriftWindow
from apps.insights.profile_models import HourlyCallProfile, HourlyRunProfile, HourlyStepProfile, ProfiledHour

# Django looks for models here.
__all__ = [
    "BudgetForecast",
    "CapacityPlan",
    "DriftReading",
    "DriftReference",
    "DriftWindow",
    "HourlyCallProfile",
    "HourlyRunProfile",
    "HourlyStepProfile",
    "Measure",
    "ProfiledHour",
]


class Measure(models.TextChoices):
    """What is counted: money, or tokens."""

    USD_MICROS = "usd_micros", "money"
    TOKENS = "tokens", "tokens"


class BudgetForecast(models.Model):
    """What a window will have used at its end: expected, and from low to high with 80%.

    Without a window it is what the whole platform spends in the present day or month (UTC). Amounts are micro-dollars
    or tokens, as `measure` says. `path` is what is expected still: [start, amount] of each hour of a day, or each day of
    a month. `season` has the factor of each hour of the week in the budget's time zone. Made anew every few minutes.
    """

    window = models.ForeignKey(
        BudgetWindow, null=True, on_delete=models.CASCADE, related_name="forecasts", db_index=False
    )
    period = models.CharField(max_length=8)
    measure = models.CharField(max_length=16, choices=Measure.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    used = models.BigIntegerField()
    expected = models.BigIntegerField()
    low = models.BigIntegerField()
    high = models.BigIntegerField()
    cap = models.BigIntegerField(null=True)
    runs_out_at = models.DateTimeField(null=True, help_text="When the cap is used up, if that is expected.")
    days_of_history = models.FloatField()
    path = models.JSONField(default=list)
    season = ArrayField(models.FloatField(), default=list)
    computed_at = models.DateTimeField()

    class Meta:
        verbose_name = "projection"
        ordering = ["-ends_at", "window_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["window", "period", "measure"],
                name="insights_forecast_once",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"projection of {self.window or f'the {self.period}'}"
