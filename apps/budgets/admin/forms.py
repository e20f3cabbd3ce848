"""What finance may set about budgets, and what is refused."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.budgets.budget_models import CAPS
from apps.budgets.models import Budget, Scope
from apps.console.fields import DollarsField, TimeZoneField

_SUBJECTS = {
    Scope.PLATFORM: (),
    Scope.TIER: ("tier",),
    Scope.EACH_TENANT: ("tier",),
    Scope.TENANT: ("tenant",),
    Scope.API_KEY: ("api_key",),
    Scope.TASK_TYPE: ("task_type",),
}
_OPTIONAL = {Scope.TASK_TYPE: ("tenant",)}
_NAMES = {"tier": "tier", "tenant": "tenant", "api_key": "API key", "task_type": "task type"}


class CapsForm(forms.ModelForm):
    """Caps in dollars and in tokens."""

    daily_usd_micros = DollarsField(required=False, label="Daily cap, $")
    monthly_usd_micros = DollarsField(required=False, label="Monthly cap, $")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and all(cleaned.get(cap) is None for cap in CAPS):
            raise ValidationError("Set at least one cap: by day or by month, in dollars or in tokens.")
        for cap in ("daily_tokens", "monthly_tokens"):
            if (cleaned.get(cap) or 0) < 0:
                self.add_error(cap, "A cap is 0 or more.")
        return cleaned


class BudgetForm(CapsForm):
    """Refuses a scope without its subject, and thresholds that are out of order."""

    time_zone = TimeZoneField(help_text="Where its days and months begin.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self._clean_subject(cleaned)
        self._clean_thresholds(cleaned)
        return cleaned

    def _clean_subject(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("scope") not in Scope.values:
            return
        scope = Scope(cleaned["scope"])
        for name in _NAMES:
            if name in _SUBJECTS[scope]:
                if not cleaned.get(name):
                    self.add_error(name, f"A budget of this scope needs its {_NAMES[name]}.")
            elif name not in _OPTIONAL.get(scope, ()) and cleaned.get(name):
                self.add_error(name, f"A budget of this scope has no {_NAMES[name]}: leave it empty.")
        others = Budget.objects.exclude(pk=self.instance.pk).filter(
            scope=scope,
            **{name: cleaned.get(name) or ("" if name == "task_type" else None) for name in _NAMES},
        )
        other = others.first()
        if other is not None and not self.errors:
            self.add_error("scope", f"Budget '{other}' caps the same already: change that one.")

    def _clean_thresholds(self, cleaned: dict[str, Any]) -> None:
        names = ("alert_percent", "degrade_percent", "throttle_percent", "shutoff_percent")
        highest = 0
        for name in names:
            percent = cleaned.get(name)
            if percent is None:
                continue
            if percent < highest:
                self.add_error(name, f"It comes after an action at {highest} %: choose {highest} or more.")
            highest = max(highest, percent)


class OverrideForm(CapsForm):
    """Refuses an override that is over before it begins."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        starts_at, expires_at = cleaned.get("starts_at"), cleaned.get("expires_at")
        if starts_at and expires_at and expires_at <= starts_at:
            self.add_error("expires_at", "It has to expire after it starts.")
        return cleaned
