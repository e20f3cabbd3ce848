"""What is asked before an operation on a tenant or a key."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.tenants.models import LIMITS
from apps.tenants.services import limit_check

GRACE = {
    "0": "none: the old key stops working at once",
    "1": "1 hour",
    "24": "1 day",
    "168": "7 days",
    "720": "30 days",
}
"""How long an old key goes on working, in hours."""


def check_limits(form: forms.BaseForm, cleaned: Mapping[str, Any]) -> None:
    """Adds an error to every limit of the form that would stop a tenant, or could not be meant."""
    for name in LIMITS:
        value = cleaned.get(name)
        if value is not None:
            try:
                limit_check(name, value)
            except ValueError as error:
                form.add_error(name, str(error))


class TenantForm(forms.ModelForm):
    """A tenant's own limits may be left empty: then its tier's hold, which the field says."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        tier = self.instance.tier if self.instance.tier_id else None
        for name in LIMITS:
            if name in self.fields:
                granted = f" ({getattr(tier, name):,})" if tier else ""
                self.fields[name].help_text = f"Leave it empty for what the tier grants{granted}."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        check_limits(self, cleaned)
        return cleaned


class SuspendForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="For other operators and for the log; the tenant does not see it.",
    )


class OneKeyForm(forms.Form):
    """A form that makes one key: sent twice, it finds the key of its id there and makes no second one."""

    key_id = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, initial={"key_id": uuid.uuid4()})


class IssueKeyForm(OneKeyForm):
    name = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(),
        help_text="What uses it, such as 'production backend'.",
    )


class RotateKeyForm(OneKeyForm):
    grace = forms.ChoiceField(
        label="Grace period",
        choices=list(GRACE.items()),
        initial="24",
        widget=UnfoldAdminSelectWidget(choices=list(GRACE.items())),
        help_text="How long the old key goes on working beside the new one.",
    )

    @property
    def grace_period(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["grace"]))
