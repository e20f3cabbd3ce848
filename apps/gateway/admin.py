"""The call journal, to read."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import display

from apps.console.display import between, dollars, folded_json, json_block, label, link
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.gateway.models import Call

STATUSES = {"started": "info", "settled": "success", "failed": "danger", "unknown": "warning"}


@admin.register(Call)
class CallAdmin(ReadOnlyAdmin):
    """Every model call, newest first: by the id's time, which is when it was made."""

    list_display = (
        "started_at",
        "tenant",
        "task_type",
        "agent",
        "state",
        "tier",
        "model",
        "tokens",
        "cost",
        "took",
        "workflow",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("task_type", FieldTextFilter),
        ("model", FieldTextFilter),
    )
    list_select_related = ("tenant",)
    search_fields = ("id",)
    list_defers = ("response",)
    id_fields = ("pk", "step_id", "workflow_id")
    searches_text = False
    search_help_text = "The id of a call, a step or a workflow"
    ordering = ("-id",)
    fields = (
        "id",
        "tenant",
        "state",
        "error_code",
        "tier",
        "provider",
        "model",
        "tokens",
        "cost",
        "started_at",
        "settled_at",
        "took",
        "task_type",
        "agent",
        "workflow",
        "step_id",
        "attempt",
        "ordinal",
        "request_hash",
        "provider_request_id",
        "answer",
    )

    @display(description="status", label=STATUSES)
    def state(self, call: Call) -> str:
        return call.status

    @display(description="tokens in / out")
    def tokens(self, call: Call) -> str:
        return f"{call.input_tokens:,} / {call.output_tokens:,}"

    @display(description="cost")
    def cost(self, call: Call) -> str:
        return cost_of(call)

    @display(description="took")
    def took(self, call: Call) -> str:
        return between(call.started_at, call.settled_at)

    @display(description="workflow")
    def workflow(self, call: Call) -> str:
        return link(str(call.workflow_id)[:13] + "…", "workflows_workflow_change", call.workflow_id)

    @display(description="response")
    def answer(self, call: Call) -> str:
        return json_block(call.response)


def cost_of(call: Call) -> str:
    return dollars(call.cost_usd_micros) + (" (estimated)" if call.estimated else "")


def calls_table(calls: Iterable[Call], note: str = "") -> Table:
    """Calls below the workflow or step that made them."""
    headers = (
        "call",
        "agent",
        "attempt",
        "status",
        "tier",
        "model",
        "tokens in / out",
        "cost",
        "took",
        "response",
    )
    rows = [
        [
            link(f"#{call.ordinal}", "gateway_call_change", call.pk),
            call.agent,
            call.attempt,
            label(call.status, STATUSES.get(call.status, "")),
            call.tier,
            call.model,
            f"{call.input_tokens:,} / {call.output_tokens:,}",
            cost_of(call),
            between(call.started_at, call.settled_at),
            call.error_code or folded_json("show", call.response),
        ]
        for call in calls
    ]
    return Table("Model calls", headers, rows, note)
