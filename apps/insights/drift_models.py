"""Drift: windows that were compared with what was before, and what had shifted in them."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from agentplatform.profiles.observing import Measure

MEASURES = {
    Measure.TASK_MIX: "mix of task types",
    Measure.TIER_MIX: "mix of model tiers",
    Measure.INPUT_TOKENS: "input tokens of a call",
    Measure.OUTPUT_TOKENS: "output tokens of a call",
    Measure.EXECUTION_SECONDS: "seconds of a step",
    Measure.CACHE_SHARE: "share from a cache",
    Measure.REFUSAL_SHARE: "refused share",
    Measure.ESCALATION_SHARE: "escalated share",
    Measure.RETRY_SHARE: "retried share",
}


class DriftReference(models.Model):
    """A time that operators have named as how things should be; without one it is the days before a window.

    The latest one that is in force counts.
    """

    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField("in force", default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")), name="insights_reference_has_length"
            )
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H}h to {self.ends_at:%Y-%m-%d %H}h"

    def clean(self) -> None:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "It ends before it begins."})


class DriftWindow(models.Model):
    """A window that was compared with its reference."""

    starts_at = models.DateTimeField(primary_key=True)
    ends_at = models.DateTimeField()
    reference_starts_at = models.DateTimeField()
    reference_ends_at = models.DateTimeField()
    reference_windows = models.IntegerField(
        help_text="How many windows of the reference there were profiles of."
    )
    runs = models.IntegerField(help_text="That ended in the window.")
    compared = models.IntegerField(help_text="How many measures there was enough of.")
    shifted = models.IntegerField(help_text="How many of them had shifted.")
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M}"


class DriftReading(models.Model):
    """One measure of a window beside its reference. Figures are means or shares, of a mix the share of `moved`."""

    window = models.ForeignKey(DriftWindow, on_delete=models.CASCADE, related_name="readings", db_index=False)
    task_type = models.CharField(max_length=64, blank=True, help_text="Empty of the whole platform.")
    measure = models.CharField(max_length=32, choices=[(one.value, title) for one, title in MEASURES.items()])
    moved = models.CharField(max_length=64, blank=True, help_text="Of a mix, what moved most.")
    reference_value = models.FloatField()
    window_value = models.FloatField()
    stability_index = models.FloatField(
        help_text="The population stability index, less what chance adds to it."
    )
    p_value = models.FloatField()
    reference_units = models.IntegerField(help_text="Runs, in the reference's windows of this time of day.")
    window_units = models.IntegerField(help_text="Runs in the window.")
    is_drift = models.BooleanField()
    cost_a_day_usd_micros = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-window", "-is_drift", "p_value"]
        constraints = [
            models.UniqueConstraint(fields=["window", "task_type", "measure"], name="insights_drift_once")
        ]
        indexes = [
            models.Index(fields=["-window"], condition=models.Q(is_drift=True), name="insights_drift_shifted")
        ]

    def __str__(self) -> str:
        return f"{self.task_type or 'platform'}: {self.get_measure_display()}"
