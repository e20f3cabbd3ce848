"""The call journal, to read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import display

from apps.console.display import NOTHING, between, dollars, folded_json, json_block, link, status_label
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.gateway.batch_admin import ProviderBatchAdmin
from apps.gateway.models import Call

__all__ = ["CallAdmin", "ProviderBatchAdmin", "calls_table", "cost_of"]

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

    @display(description="status")
    def state(self, call: Call) -> str:
        return status_label(call.status, STATUSES)

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


def calls_table(
    calls: Iterable[Call], steps: Mapping[uuid.UUID, str], with_responses: bool = True, note: str = ""
) -> Table:
    """Calls below the workflow or step that made them; `steps` names their steps by id."""
    headers = [
        "call",
        "agent",
        "attempt",
        "status",
        "tier",
        "model",
        "tokens in / out",
        "cost",
        "took",
        "error",
    ]
    rows = []
    for call in calls:
        row = [
            link(f"{steps.get(call.step_id, call.step_id)} #{call.ordinal}", "gateway_call_change", call.pk),
            call.agent,
            call.attempt,
            status_label(call.status, STATUSES),
            call.tier,
            call.model,
            f"{call.input_tokens:,} / {call.output_tokens:,}",
            cost_of(call),
            between(call.started_at, call.settled_at),
            call.error_code or NOTHING,
        ]
        rows.append([*row, folded_json("show", call.response)] if with_responses else row)
    return Table("Model calls", [*headers, "response"] if with_responses else headers, rows, note)
