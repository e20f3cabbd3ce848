"""The audit log: who did what to what, with before and after."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from apps.console.display import NOTHING, status_label
from apps.console.pages import ReadOnlyAdmin

ACTIONS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}
KINDS = {"added": "success", "changed": "info", "deleted": "danger"}


@admin.register(LogEntry)
class AuditLogAdmin(ReadOnlyAdmin):
    """Every change that was made in the admin, operations included; nobody can change it here."""

    list_display = ("action_time", "user", "action", "kind", "object_repr", "message")
    list_filter = (("user", AutocompleteSelectFilter), ("action_flag", ChoicesDropdownFilter))
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message")
    ordering = ("-id",)
    fields = ("action_time", "user", "action", "kind", "object_repr", "object_id", "message")

    @display(description="action")
    def action(self, entry: LogEntry) -> str:
        return status_label(ACTIONS[entry.action_flag], KINDS)

    @display(description="kind")
    def kind(self, entry: LogEntry) -> str:
        return entry.content_type.name if entry.content_type else NOTHING

    @display(description="what")
    def message(self, entry: LogEntry) -> str:
        return entry.get_change_message() or NOTHING

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("admin.view_logentry")
