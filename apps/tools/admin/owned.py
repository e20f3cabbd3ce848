"""Tenants' webhooks as tools, and MCP servers. A secret is in one response and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

from agentplatform.agents.extraction_schema import schema_fault
from agentplatform.execution.circuit import Phase
from agentplatform.outbound.addresses import AddressRefused, UrlRefused
from apps.console.display import dollars, label
from apps.console.fields import DollarsField
from apps.console.operations import Operation, Secret, is_confirmed, operation_page, secret_page
from apps.console.reading import withheld
from apps.console.tables import Table
from apps.gateway.circuits import CircuitsAway, circuit_reset
from apps.notifications.resolving import check_url
from apps.tools.admin.calls import tool_calls_table
from apps.tools.admin.settings import PRICE_HELP, PricedAdmin
from apps.tools.models import McpServer, TenantTool, ToolCall
from apps.tools.services import tenant_tool_rotate_secret
from apps.tools.source import tool_breaker

PHASES = {Phase.CLOSED: "success", Phase.OPEN: "danger", Phase.HALF_OPEN: "warning"}


class _OwnedForm(forms.ModelForm):
    """Refuses a URL that leads inside, as the API does."""

    cost_usd_micros = DollarsField(label="Price in dollars", help_text=PRICE_HELP)

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"])
        if "url" in self.changed_data:
            try:
                check_url(url)
            except (UrlRefused, AddressRefused) as error:
                raise forms.ValidationError(str(error)) from error
        return url


class TenantToolForm(_OwnedForm):
    def clean_input_schema(self) -> Any:
        schema = self.cleaned_data["input_schema"]
        if not isinstance(schema, dict):
            raise forms.ValidationError("A JSON object is needed.")
        fault = schema_fault(schema)
        if fault is not None:
            raise forms.ValidationError(f"At {fault.place}: {fault.message}")
        return schema


class McpServerForm(_OwnedForm):
    allowed_tools = SimpleArrayField(
        forms.CharField(max_length=64),
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Separated by commas; empty: all.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("secret") and (cleaned.get("tenant") or self.instance.tenant_id):
            self.add_error(
                "secret", "Only servers for everybody have their token at a place of the operators."
            )
        return cleaned


class _OwnedAdmin(PricedAdmin):
    list_filter = (("tenant", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter))
    list_select_related = ("tenant",)
    id_fields = ("pk",)
    ordering = ("-id",)
    autocomplete_fields = ("tenant",)

    @display(description="state")
    def state(self, row: TenantTool | McpServer) -> str:
        return label("enabled", "success") if row.is_enabled else label("off", "danger")

    @display(description="price")
    def price(self, row: TenantTool | McpServer) -> str:
        return dollars(row.cost_usd_micros)

    @display(description="circuit")
    def circuit(self, row: TenantTool | McpServer) -> str:
        phase = tool_breaker().phase(self.circuit_key(row))
        return label(phase.value.replace("_", " "), PHASES[phase])

    def circuit_key(self, row: Any) -> str:
        raise NotImplementedError

    def reset_circuit(self, request: HttpRequest, row: Any) -> HttpResponse:
        """Asks, then closes the circuit."""
        if not is_confirmed(request):
            explanation = "Its failures are forgotten, and it is offered again at once."
            title = f"Reset the circuit of {row}?"
            operation = Operation(title, explanation, "Reset", self.detail_url(row))
            return operation_page(self, request, operation)
        try:
            circuit_reset(self.circuit_key(row))
        except CircuitsAway as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.detail_url(row))
        self.record(request, row, "Reset its circuit")
        messages.success(request, "Its circuit is closed.")
        return HttpResponseRedirect(self.detail_url(row))


@admin.register(TenantTool)
class TenantToolAdmin(_OwnedAdmin):
    """Tenants add them over the API; their secrets are stored encrypted and shown once."""

    form = TenantToolForm
    list_display = ("name", "tenant", "description", "state", "circuit", "price", "created_at")
    search_fields = ("name", "description", "url", "tenant__name")
    actions_detail = ("rotate", "reset")
    fields = (
        "tenant",
        "name",
        "description",
        "input_schema",
        "url",
        "timeout_seconds",
        "is_idempotent",
        "is_cacheable",
        "cost_usd_micros",
        "is_enabled",
        "created_at",
        "id",
    )
    always_readonly = ("tenant", "name", "created_at", "id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def circuit_key(self, row: TenantTool) -> str:
        return f"tool/webhook/{row.pk}"

    def detail_tables(self, request: HttpRequest, obj: TenantTool) -> Sequence[Table]:
        calls = ToolCall.objects.filter(tool=f"webhook__{obj.name}", tenant=obj.tenant_id)
        shown = list(calls.order_by("-id")[:50])
        return [tool_calls_table(shown, withheld(request, {call.workflow_id for call in shown}))]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "operate_tenanttool")

    @action(description="Rotate secret", url_path="rotate", permissions=["operate"], icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tool = self.find(request, object_id)
        if not is_confirmed(request):
            explanation = "The new secret signs from now on; the old one no longer does."
            operation = Operation(f"Give {tool} a new secret?", explanation, "Rotate", self.detail_url(tool))
            return operation_page(self, request, operation)
        issued = tenant_tool_rotate_secret(tool)
        self.record(request, tool, "Rotated its secret")
        secret = Secret(
            title="The secret of a tool",
            name=tool.name,
            owner=f"tenant '{tool.tenant.name}'",
            note="What is kept of it is encrypted.",
            plaintext=issued.plaintext,
            back_url=self.detail_url(tool),
        )
        return secret_page(self, request, secret)

    @action(description="Reset circuit", url_path="reset", permissions=["operate"], icon="restart_alt")
    def reset(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.reset_circuit(request, self.find(request, object_id))


@admin.register(McpServer)
class McpServerAdmin(_OwnedAdmin):
    """Without a tenant it is everybody's, and its token stays where its operators keep it."""

    form = McpServerForm
    list_display = ("name", "tenant", "url", "state", "circuit", "price", "created_at")
    search_fields = ("name", "url", "tenant__name")
    actions_detail = ("reset",)
    fields = (
        "tenant",
        "name",
        "url",
        "secret",
        "allowed_tools",
        "timeout_seconds",
        "cost_usd_micros",
        "is_enabled",
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = () if obj is None else ("tenant", "name")
        return tuple(dict.fromkeys((*own, *super().get_readonly_fields(request, obj))))

    def circuit_key(self, row: McpServer) -> str:
        return f"tool/mcp/{row.pk}"

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "operate_tenanttool")

    @action(description="Reset circuit", url_path="reset", permissions=["operate"], icon="restart_alt")
    def reset(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.reset_circuit(request, self.find(request, object_id))
