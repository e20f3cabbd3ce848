"""What is asked of endpoints and recipients."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from agentplatform.outbound.addresses import AddressRefused, UrlRefused
from apps.notifications.event_types import EVENT_TYPES
from apps.notifications.resolving import check_url

OVERLAP = {
    "0": "none: only the new secret signs from now on",
    "1": "1 hour",
    "24": "1 day",
    "168": "7 days",
}
"""How long the old secret signs beside the new one, in hours."""


def events_field() -> SimpleArrayField:
    """Codes of events, typed with commas between them."""
    return SimpleArrayField(
        forms.CharField(max_length=64),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text=f"Separated by commas; empty: all. Known are {', '.join(EVENT_TYPES)}.",
    )


class RecipientForm(forms.ModelForm):
    events = events_field()


class EndpointForm(forms.ModelForm):
    """Refuses a URL that leads inside, as the API does."""

    events = events_field()

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        if "url" in self.changed_data:
            try:
                check_url(url)
            except (UrlRefused, AddressRefused) as error:
                raise forms.ValidationError(str(error)) from error
        return url


class RotateSecretForm(forms.Form):
    overlap = forms.ChoiceField(
        choices=list(OVERLAP.items()),
        initial="24",
        widget=UnfoldAdminSelectWidget(choices=list(OVERLAP.items())),
        help_text="How long the old secret signs beside the new one.",
    )

    @property
    def overlap_hours(self) -> int:
        return int(self.cleaned_data["overlap"])


def endpoint_fields(form: forms.ModelForm[Any], *names: str) -> dict[str, Any]:
    """What was typed into these fields of the form."""
    return {name: form.cleaned_data[name] for name in names if name in form.cleaned_data}
