"""E-mail recipients: the operators, and the contacts of each tenant."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from apps.console.display import status_label
from apps.console.pages import ConsoleAdmin
from apps.notifications.admin.forms import RecipientForm
from apps.notifications.admin.notices import SEVERITIES
from apps.notifications.models import Recipient


@admin.register(Recipient)
class RecipientAdmin(ConsoleAdmin):
    """Without a tenant it is an operator's address, beside those of OPERATOR_EMAILS."""

    form = RecipientForm
    list_display = ("email", "tenant", "level", "shown_events", "is_enabled", "created_at")
    list_filter = (("tenant", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter))
    list_select_related = ("tenant",)
    search_fields = ("email", "tenant__name")
    ordering = ("email",)
    autocomplete_fields = ("tenant",)
    fields = ("tenant", "email", "events", "min_severity", "is_enabled")

    @display(description="from", ordering="min_severity")
    def level(self, recipient: Recipient) -> str:
        return status_label(recipient.min_severity, SEVERITIES)

    @display(description="events")
    def shown_events(self, recipient: Recipient) -> str:
        return ", ".join(recipient.events) or "all"
