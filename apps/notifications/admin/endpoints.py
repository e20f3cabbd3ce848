"""Webhook endpoints: tenants' and the operators' own."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from apps.console.pages import ReadOnlyAdmin
from apps.notifications.models import Endpoint


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Endpoints, newest first. Their secrets are shown once, and never here."""

    list_display = ("name", "tenant", "shown_events", "is_enabled", "disabled_reason", "created_at")
    list_filter = (("tenant", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter))
    list_select_related = ("tenant",)
    search_fields = ("url", "description", "tenant__name")
    id_fields = ("pk",)
    ordering = ("-id",)
    fields = ("tenant", "url", "description", "shown_events", "is_enabled", "disabled_reason", "created_at")

    @display(description="endpoint")
    def name(self, endpoint: Endpoint) -> str:
        return str(endpoint)

    @display(description="events")
    def shown_events(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.events) or "all"
