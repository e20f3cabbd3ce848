"""Runs: search, look into, intervene."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RelatedDropdownFilter
from unfold.decorators import display

from agentplatform.workflows.graph import graph_of, svg_of
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
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.console.tables import Table
from apps.workflows.admin.cached_runs import CachePurgingAdmin, cache_table
from apps.workflows.admin.filters import StatusFilter, TypeFilter
from apps.workflows.admin.interventions import InterventionsAdmin
from apps.workflows.admin.step_tables import tables_of
from apps.workflows.models import Step, Workflow
from apps.workflows.selectors import children_of, run_state

RELATED_SHOWN = 50

STATUSES = {
    "running": "info",
    "paused": "warning",
    "held": "warning",
    "succeeded": "success",
    "partial": "warning",
    "failed": "danger",
    "cancelled": "",
}


@admin.register(Workflow)
class WorkflowAdmin(InterventionsAdmin, CachePurgingAdmin, SaidInRunsAdmin, ReadOnlyAdmin):
    """Runs, newest first. The search takes the id of a run, its beginning, or the id of a step or Celery task."""

    run_field = "pk"
    said_fields = ("input_document", "result_document")

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
    actions_detail = ("cancel", "pause", "resume", "purge_cache")
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
                    "related",
                    "cost",
                    "degradation_list",
                    "error_document",
                    "rated",
                )
            },
        ),
        ("Graph", {"fields": ("graph",)}),
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
        steps, *others = tables_of(obj, is_readable=not self.is_withheld(request, obj))
        return [steps, cache_table(obj), *others]

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

    @display(description="graph")
    def graph(self, workflow: Workflow) -> str:
        """A picture of it; all text in it is escaped where it is made."""
        run = run_state(workflow.pk)
        return format_html(
            '<div class="console-graph">{}</div>', mark_safe(svg_of(graph_of(run.definition, run.state)))
        )

    @display(description="belongs to")
    def related(self, workflow: Workflow) -> str:
        """The run whose step has started it, the one that it replays, those that its own steps have started; its session."""
        known = [("started by", workflow.parent_id), ("replays", workflow.source_id)]
        known += [("has started", pk) for pk in children_of(workflow, RELATED_SHOWN)]
        links = [
            (what, link(str(pk), "workflows_workflow_change", pk)) for what, pk in known if pk is not None
        ]
        if workflow.session is not None:
            session = link(str(workflow.session), "knowledge_session_change", workflow.session.pk)
            links.append(("is a part of session", session))
        return format_html_join("\n", "<div>{} {}</div>", links) or NOTHING

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
