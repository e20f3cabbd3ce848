"""Steps, reached from their runs: what a step was given and returned, its attempts and its calls."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.console.display import NOTHING, between, code, json_block, link, status_label
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin, withheld
from apps.console.tables import Table
from apps.gateway.admin import calls_table
from apps.gateway.models import Call
from apps.tools.admin import tool_calls_table
from apps.tools.models import ToolCall
from apps.workflows.admin.approvals import ApprovalsAdmin
from apps.workflows.admin.filters import UnfinishedStepFilter
from apps.workflows.admin.step_tables import SHOWN, STEP_STATUSES, attempts_table
from apps.workflows.models import Step


@admin.register(Step)
class StepAdmin(ApprovalsAdmin, SaidInRunsAdmin, ReadOnlyAdmin):
    said_fields = ("option_document", "output_document")
    list_display = (
        "name",
        "run",
        "tenant",
        "state",
        "queue",
        "agent",
        "attempt",
        "waiting_for",
        "worker",
        "run_at",
    )
    list_filter = (UnfinishedStepFilter, ("queue", RelatedDropdownFilter))
    list_select_related = ("tenant", "queue")
    search_fields = ("id",)
    list_defers = ("output", "options")
    id_fields = ("pk", "workflow_id")
    searches_text = False
    search_help_text = "The id of a step, a Celery task or a workflow"
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "name",
        "label",
        "run",
        "tenant",
        "queue",
        "state",
        "waiting_for",
        "agent",
        "tier",
        "attempt",
        "max_attempts",
        "worker",
        "ready_at",
        "hinted_at",
        "hints",
        "started_at",
        "finished_at",
        "took",
        "run_at",
        "deadline_at",
        "lease_expires_at",
        "timeout_seconds",
        "estimated_tokens",
        "needed",
        "option_document",
        "output_document",
        "id",
    )

    def has_module_permission(self, request: HttpRequest) -> bool:
        """No entry of its own: steps are reached from their runs."""
        return False

    def detail_tables(self, request: HttpRequest, obj: Step) -> Sequence[Table]:
        attempts = list(obj.attempts.select_related("step").order_by("-attempt")[:SHOWN])
        calls = Call.objects.filter(step_id=obj.pk).order_by("ordinal", "started_at")
        unread = withheld(request, [obj.workflow_id])
        responses = calls_table(calls[:SHOWN], {obj.pk: obj.key}, with_responses=not unread)
        tables = [attempts_table(attempts), responses]
        tool_calls = ToolCall.objects.filter(workflow_id=obj.workflow_id, step_id=obj.pk).order_by(
            "attempt", "ordinal"
        )
        return [*tables, tool_calls_table(tool_calls[:SHOWN], unread)] if tool_calls.exists() else tables

    @display(description="step")
    def name(self, step: Step) -> str:
        return step.key

    @display(description="workflow")
    def run(self, step: Step) -> str:
        return link(str(step.workflow_id), "workflows_workflow_change", step.workflow_id)

    @display(description="status")
    def state(self, step: Step) -> str:
        return status_label(step.status, STEP_STATUSES)

    @display(description="took")
    def took(self, step: Step) -> str:
        return between(step.started_at, step.finished_at)

    @display(description="needs")
    def needed(self, step: Step) -> str:
        return code(", ".join(step.needs)) if step.needs else NOTHING

    @display(description="options")
    def option_document(self, step: Step) -> str:
        return json_block(step.options or None)

    @display(description="output")
    def output_document(self, step: Step) -> str:
        return json_block(step.output)
