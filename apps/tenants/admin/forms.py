"""What is asked before an operation on a tenant or a key."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

GRACE = {
    "0": "none: the old key stops working at once",
    "1": "1 hour",
    "24": "1 day",
    "168": "7 days",
    "720": "30 days",
}
"""How long an old key goes on working, in hours."""


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
