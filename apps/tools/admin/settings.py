"""What operators set of the tools that installed apps bring; and which circuits of tools have opened lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import ValidationError
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from agentplatform.agents.registry import registry
from apps.console.display import NOTHING, dollars, label, moment, seconds
from apps.console.fields import DollarsField
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.gateway.models import CircuitTrip
from apps.tools.models import ToolSettings

HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.:[]_")
PRICE_HELP = "What a call is charged at; 0 for a tool that costs nothing."
TRIPS_NOTE = "When a tool fails again and again it is left alone for 30 seconds, then tried by one call."


class ToolSettingsForm(forms.ModelForm):
    cost_usd_micros = DollarsField(label="Price in dollars", help_text=PRICE_HELP)
    allowed_hosts = SimpleArrayField(
        forms.CharField(max_length=253),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Separated by commas: names, *.example.com for all below it, * for every public host. Empty: none.",
    )

    def clean_allowed_hosts(self) -> list[str]:
        hosts = [host.strip().lower() for host in self.cleaned_data["allowed_hosts"]]
        for host in hosts:
            name = host.removeprefix("*.")
            if host != "*" and (not name or not set(name) <= HOST_CHARACTERS):
                raise ValidationError(f"'{host}' is no name of a host: leave out scheme, port and path.")
        return hosts


class PricedAdmin(ConsoleAdmin):
    """Prices are set by those who may set prices, all else by those who operate tools."""

    always_readonly: tuple[str, ...] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = [str(name) for name in self.fields or ()]
        locked = set(self.always_readonly)
        if not self.may(request, "price_tool"):
            locked.add("cost_usd_micros")
        if not self.may(request, "operate_tenanttool"):
            locked |= set(fields) - {"cost_usd_micros"}
        return tuple(name for name in fields if name in locked)


@admin.register(ToolSettings)
class ToolSettingsAdmin(PricedAdmin):
    """One row for each tool; it comes with the app that brings it."""

    form = ToolSettingsForm
    list_display = ("name", "state", "description", "hosts", "timeout", "price")
    search_fields = ("name",)
    ordering = ("name",)
    fields = (
        "name",
        "description",
        "is_enabled",
        "timeout_seconds",
        "cost_usd_micros",
        "allowed_hosts",
    )
    always_readonly = ("name", "description")
    list_before_template = "console/tables.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def list_tables(self, request: HttpRequest) -> Sequence[Table]:
        lately = CircuitTrip.objects.filter(
            circuit__startswith="tool/", opened_at__gt=Now() - timedelta(days=1)
        ).order_by("-id")[:20]
        rows = [
            [trip.circuit, trip.reason, moment(trip.opened_at), moment(trip.closed_at)] for trip in lately
        ]
        headers = ("circuit", "reason", "opened", "closed")
        return [Table("Circuits of tools that opened in the last 24 h", headers, rows, TRIPS_NOTE)]

    @display(description="state")
    def state(self, row: ToolSettings) -> str:
        tool = registry.find_tool(row.name)
        if tool is None:
            return label("not installed", "warning")
        if not row.is_enabled:
            return label("off", "danger")
        if tool.spec.needs_hosts and not row.allowed_hosts:
            return label("no host allowed", "warning")
        return label("on", "success")

    @display(description="what it does")
    def description(self, row: ToolSettings) -> str:
        tool = registry.find_tool(row.name)
        return tool.spec.description if tool is not None else NOTHING

    @display(description="hosts")
    def hosts(self, row: ToolSettings) -> str:
        return ", ".join(row.allowed_hosts) or NOTHING

    @display(description="timeout")
    def timeout(self, row: ToolSettings) -> str:
        tool = registry.find_tool(row.name)
        own = tool.spec.timeout_seconds if tool is not None else None
        return seconds(row.timeout_seconds or own)

    @display(description="price")
    def price(self, row: ToolSettings) -> str:
        return dollars(row.cost_usd_micros) if row.cost_usd_micros else NOTHING
