"""Runs: search, look into, cancel."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import (
    NOTHING,
    between,
    code,
    dollars,
    json_block,
    label,
    link,
    moment,
    seconds,
    status_label,
)
from apps.console.filters import IdDayFilter
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.workflows.admin.filters import StatusFilter, TypeFilter
from apps.workflows.admin.step_tables import tables_of
from apps.workflows.models import Step, Workflow
from apps.workflows.services import AlreadyFinished, workflow_cancel

STATUSES = {
    "running": "info",
    "paused": "warning",
    "held": "warning",
    "succeeded": "success",
    "partial": "warning",
    "failed": "danger",
    "cancelled": "",
}
CANCELLING = (
    "Its unfinished steps are cancelled and calls in flight are broken off; what they cost so far is paid. "
    "A cancelled workflow cannot be taken up again."
)


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    """Runs, newest first. The search takes the id of a run, its beginning, or the id of a step or Celery task."""

    list_display = ("short_id", "type", "tenant", "state", "queue", "created_at", "took", "cost", "degraded")
    list_filter = (
        StatusFilter,
        TypeFilter,
        ("tenant", AutocompleteSelectFilter),
        ("queue", RelatedDropdownFilter),
        ("created_at", IdDayFilter),
    )
    list_select_related = ("tenant", "definition", "queue")
    search_fields = ("id",)
    list_defers = ("input", "metadata", "result", "error", "fan_out", "definition__content")
    id_fields = ("pk",)
    searches_text = False
    search_help_text = "Id of a workflow, step or task, or its start"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("cancel_selected",)
    actions_detail = ("cancel",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id",
                    "version",
                    "tenant",
                    "state",
                    "queue",
                    "cost",
                    "degradation_list",
                    "error_document",
                    "rated",
                )
            },
        ),
        ("Input and result", {"fields": ("input_document", "result_document", "metadata_document")}),
        (
            "Times",
            {"fields": ("created_at", "finished_at", "took", "deadline", "coordination", "submitted_with")},
        ),
    )

    def matching_id(self, found: uuid.UUID) -> Q:
        return Q(pk=found) | Q(
            pk__in=list(Step.objects.filter(pk=found).values_list("workflow_id", flat=True))
        )

    def detail_tables(self, request: HttpRequest, obj: Workflow) -> Sequence[Table]:
        return tables_of(obj)

    # --- Columns and fields --------------------------------------------------------------------------------

    @display(description="id")
    def short_id(self, workflow: Workflow) -> str:
        return code(str(workflow.pk)[:18] + "…")

    @display(description="type")
    def type(self, workflow: Workflow) -> str:
        return workflow.definition.type

    @display(description="definition")
    def version(self, workflow: Workflow) -> str:
        return str(workflow.definition)

    @display(description="status")
    def state(self, workflow: Workflow) -> str:
        return status_label(workflow.status, STATUSES)

    @display(description="took")
    def took(self, workflow: Workflow) -> str:
        return between(workflow.created_at, workflow.finished_at or timezone.now())

    @display(description="cost")
    def cost(self, workflow: Workflow) -> str:
        limit = workflow.max_cost_usd_micros
        spent = dollars(workflow.cost_usd_micros)
        return spent if limit is None else f"{spent} of at most {dollars(limit)}"

    @display(description="degradations")
    def degraded(self, workflow: Workflow) -> str:
        return label(str(len(workflow.degradations)), "warning") if workflow.degradations else NOTHING

    @display(description="degradations")
    def degradation_list(self, workflow: Workflow) -> str:
        told = [(item.get("code", ""), item.get("message", "")) for item in workflow.degradations]
        return format_html_join("\n", "<div><code>{}</code> {}</div>", told) or NOTHING

    @display(description="error")
    def error_document(self, workflow: Workflow) -> str:
        return json_block(workflow.error)

    @display(description="feedback")
    def rated(self, workflow: Workflow) -> str:
        given = getattr(workflow, "feedback", None)
        return NOTHING if given is None else link(given.rating, "workflows_feedback_change", given.pk)

    @display(description="input")
    def input_document(self, workflow: Workflow) -> str:
        return json_block(workflow.input)

    @display(description="result")
    def result_document(self, workflow: Workflow) -> str:
        return json_block(workflow.result)

    @display(description="metadata")
    def metadata_document(self, workflow: Workflow) -> str:
        return json_block(workflow.metadata or None)

    @display(description="deadline")
    def deadline(self, workflow: Workflow) -> str:
        at = moment(workflow.deadline_at)
        if workflow.finished_at is not None:
            return at
        left = (workflow.deadline_at - timezone.now()).total_seconds()
        return f"{at} (in {seconds(left)})" if left > 0 else f"{at} (past)"

    @display(description="coordination")
    def coordination(self, workflow: Workflow) -> str:
        return f"{seconds(workflow.coordination_seconds)} in all between ready and running"

    @display(description="API key")
    def submitted_with(self, workflow: Workflow) -> str:
        key = workflow.api_key
        return NOTHING if key is None else link(str(key), "tenants_apikey_change", key.pk)

    # --- Cancelling ----------------------------------------------------------------------------------------

    def has_cancel_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "cancel_workflow")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """A run that has ended cannot be cancelled."""
        workflow = self.get_object(request, str(object_id))
        if workflow is None or workflow.finished_at is not None:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(
        description="Cancel",
        url_path="cancel",
        permissions=["cancel"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        workflow = self.find(request, object_id)
        return self._cancel(request, [workflow], self.detail_url(workflow), [])

    @action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> HttpResponse:
        return self._cancel(request, list(queryset), request.get_full_path(), selection(request, queryset))

    def _cancel(
        self, request: HttpRequest, workflows: list[Workflow], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            cancelled = [workflow for workflow in workflows if self._cancel_one(request, workflow)]
            ended_before = len(workflows) - len(cancelled)
            if cancelled:
                messages.success(request, f"{len(cancelled)} cancelled.")
            if ended_before:
                messages.warning(request, f"{ended_before} had ended already; nothing was changed.")
            return HttpResponseRedirect(back)
        operation = Operation(
            title="Cancel this workflow?" if len(workflows) == 1 else f"Cancel {len(workflows)} workflows?",
            explanation=CANCELLING,
            submit="Cancel workflow" if len(workflows) == 1 else "Cancel workflows",
            back_url=back,
            objects=[f"{item.pk}, {item.definition.type} of {item.tenant.name}" for item in workflows],
            hidden=hidden,
            is_dangerous=True,
        )
        return operation_page(self, request, operation)

    def _cancel_one(self, request: HttpRequest, workflow: Workflow) -> bool:
        # Not in a transaction with the log: its wake-ups must come after its commit.
        try:
            workflow_cancel(workflow.pk)
        except AlreadyFinished:
            return False
        self.record(request, workflow, f"Cancelled: status {workflow.status} → cancelled")
        return True
