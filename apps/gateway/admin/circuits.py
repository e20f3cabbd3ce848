"""Circuits: how each model at each provider stands, opened and reset by hand; those of tools; and the history of trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import FieldTextFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from agentplatform.execution.circuit import Phase
from apps.console.display import NOTHING, between, label, link, moment
from apps.console.operations import Operation, confirmed_data, is_confirmed, operation_page
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.gateway.circuits import (
    MAX_OPEN_SECONDS,
    CircuitsAway,
    CircuitState,
    ToolCircuitState,
    circuit_open,
    circuit_reset,
    circuit_state,
    circuit_states,
    tool_circuit_state,
    tool_circuit_states,
)
from apps.gateway.models import CircuitTrip, Provider

PHASES = {Phase.CLOSED: "success", Phase.OPEN: "danger", Phase.HALF_OPEN: "warning"}
STATES_NOTE = (
    "A closed circuit lets calls pass. One that has failed too often is open and lets none, until a single probe is "
    "sent (half open): answered, it closes again. All processes share them."
)
OPENING = (
    "No call is sent to this model at this provider until the time is over, then a single probe. Calls go to the "
    "tier's next provider; where there is none, their steps wait. One that is open for longer already stays so."
)
RESETTING = "Its failures are forgotten and calls pass at once. If the provider still fails, it opens again."
TOOLS_NOTE = (
    "Those that have opened in the last 24 h. A tool that fails again and again is left alone for a while, then tried by "
    "one call."
)
RESETTING_TOOL = "Its failures are forgotten, and it is offered again at once."
PAGES_OF_TOOLS = {"webhook": "tools_tenanttool_change", "mcp": "tools_mcpserver_change"}
"""Where the tools are whose circuits are called by their ids."""
MAX_OPEN_MINUTES = int(MAX_OPEN_SECONDS // 60)


class OpenForm(forms.Form):
    minutes = forms.IntegerField(
        min_value=1,
        max_value=MAX_OPEN_MINUTES,
        initial=10,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text=f"For how long, from 1 to {MAX_OPEN_MINUTES:,}.",
    )
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="For other operators and for the log."
    )


@admin.register(CircuitTrip)
class CircuitTripAdmin(ReadOnlyAdmin):
    """How circuits stand is above the list, which is the history: a trip is never changed."""

    list_display = ("circuit", "reason", "opened_at", "open_until", "closed_at", "lasted")
    list_filter = (("circuit", FieldTextFilter),)
    search_fields = ("circuit",)
    ordering = ("-id",)
    sortable_by = ()
    fields = ("circuit", "reason", "opened_at", "open_until", "closed_at", "lasted")
    list_before_template = "console/tables.html"

    @display(description="open for")
    def lasted(self, trip: CircuitTrip) -> str:
        return between(trip.opened_at, trip.closed_at)

    def may_operate(self, request: HttpRequest) -> bool:
        return self.may(request, "operate_circuittrip")

    # --- How they stand ------------------------------------------------------------------------------------

    def list_tables(self, request: HttpRequest) -> Sequence[Table]:
        headers = ["provider", "model", "state", "until", "failures lately", "trips in 24 h", "last trip"]
        if self.may_operate(request):
            headers.append("")
        try:
            rows = [self._state_row(request, state) for state in circuit_states()]
            tools = [self._tool_row(request, state) for state in tool_circuit_states()]
        except CircuitsAway as error:
            return [Table("Circuits now", headers, [], str(error))]
        return [
            Table("Circuits now", headers, rows, STATES_NOTE if rows else "No provider serves a tier."),
            Table("Circuits of tools now", ["tool", *headers[2:]], tools, TOOLS_NOTE),
        ]

    def _state_row(self, request: HttpRequest, state: CircuitState) -> list[Any]:
        row = [
            state.provider if state.is_enabled else format_html("{} {}", state.provider, label("disabled")),
            state.model,
            label(_named(state.phase), PHASES[state.phase]),
            moment(state.open_until)[:19] if state.open_until else NOTHING,
            state.recent_failures,
            state.trips_last_day,
            moment(state.last_tripped_at)[:19],
        ]
        return [*row, _buttons(state)] if self.may_operate(request) else row

    def _tool_row(self, request: HttpRequest, state: ToolCircuitState) -> list[Any]:
        row = [
            _tool_named(state.key),
            label(_named(state.phase), PHASES[state.phase]),
            moment(state.open_until)[:19] if state.open_until else NOTHING,
            state.recent_failures,
            state.trips_last_day,
            moment(state.last_tripped_at)[:19],
        ]
        if not self.may_operate(request):
            return row
        url = reverse("admin:gateway_circuittrip_reset_tool", args=[state.key])
        return [*row, format_html('<a class="console-link" href="{}">Reset…</a>', url)]

    # --- Opening and resetting -----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<slug:provider>/<str:model>/{name}/",
                self.admin_site.admin_view(partial(self._operation, operate)),
                name=f"gateway_circuittrip_{name}",
            )
            for name, operate in (("open", self.open), ("reset", self.reset))
        ]
        of_tool = path(
            "reset/<path:key>/",
            self.admin_site.admin_view(self.reset_tool),
            name="gateway_circuittrip_reset_tool",
        )
        return [*own, of_tool, *super().get_urls()]

    def _operation(
        self,
        operate: Callable[[HttpRequest, CircuitState], HttpResponse],
        request: HttpRequest,
        provider: str,
        model: str,
    ) -> HttpResponse:
        if not self.may_operate(request):
            raise PermissionDenied
        try:
            state = circuit_state(provider, model)
            if state is None:
                raise Http404
            return operate(request, state)
        except CircuitsAway as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.list_url)

    def open(self, request: HttpRequest, state: CircuitState) -> HttpResponse:
        """Asks for how long and why, then opens the circuit."""
        form = OpenForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            minutes, reason = form.cleaned_data["minutes"], form.cleaned_data["reason"]
            circuit_open(state.key, minutes * 60.0, by=str(request.user))
            return self._done(
                request, state, f"Opened the circuit of {state.model} for {minutes} min, reason '{reason}'"
            )
        title = f"Open the circuit of {state.model} at {state.provider}?"
        operation = Operation(title, OPENING, "Open", self.list_url, form, is_dangerous=True)
        return operation_page(self, request, operation)

    def reset(self, request: HttpRequest, state: CircuitState) -> HttpResponse:
        """Asks, then closes the circuit."""
        if is_confirmed(request):
            circuit_reset(state.key)
            return self._done(
                request, state, f"Reset the circuit of {state.model}, which was {_named(state.phase)}"
            )
        title = f"Reset the circuit of {state.model} at {state.provider}?"
        return operation_page(self, request, Operation(title, RESETTING, "Reset", self.list_url))

    def reset_tool(self, request: HttpRequest, key: str) -> HttpResponse:
        """Asks, then closes the circuit of a tool."""
        if not self.may_operate(request):
            raise PermissionDenied
        try:
            state = tool_circuit_state(key)
            if state is None:
                raise Http404
            if not is_confirmed(request):
                operation = Operation(f"Reset the circuit of {key}?", RESETTING_TOOL, "Reset", self.list_url)
                return operation_page(self, request, operation)
            circuit_reset(key)
        except CircuitsAway as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.list_url)
        trip = CircuitTrip.objects.filter(circuit=key).latest("pk")
        self.record(request, trip, f"Reset the circuit of {key}, which was {_named(state.phase)}")
        messages.success(request, f"The circuit of {key} is closed.")
        return HttpResponseRedirect(self.list_url)

    def _done(self, request: HttpRequest, state: CircuitState, done: str) -> HttpResponse:
        self.record(request, Provider.objects.get(pk=state.provider), done)
        messages.success(request, f"{done}.")
        return HttpResponseRedirect(self.list_url)


def _named(phase: Phase) -> str:
    return phase.value.replace("_", " ")


def _tool_named(key: str) -> str:
    """A link to the tool, where its circuit is called by its id; else what the circuit is called."""
    _, kind, name = key.split("/", 2) if key.count("/") > 1 else ("", "", key)
    return link(key, PAGES_OF_TOOLS[kind], name) if kind in PAGES_OF_TOOLS else key


def _buttons(state: CircuitState) -> str:
    urls = [
        reverse(f"admin:gateway_circuittrip_{name}", args=[state.provider, state.model])
        for name in ("open", "reset")
    ]
    return format_html(
        '<span class="console-actions"><a class="console-link" href="{}">Open…</a>'
        '<a class="console-link" href="{}">Reset…</a></span>',
        *urls,
    )
