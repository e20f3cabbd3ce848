"""What tenants think of results, to read."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from apps.console.display import NOTHING, link, status_label, text_block
from apps.console.filters import DayFilter
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.workflows.models import Feedback

RATINGS = {"up": "success", "down": "danger"}
BEGINNING_CHARACTERS = 80


@admin.register(Feedback)
class FeedbackAdmin(SaidInRunsAdmin, ReadOnlyAdmin):
    """Feedback, newest first. The search takes the id of a workflow, or its beginning."""

    run_field = "pk"
    said_fields = ("whole",)

    list_display = ("created_at", "rated", "tenant", "type", "of_workflow", "beginning")
    list_filter = (
        ("rating", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", DayFilter),
    )
    list_select_related = ("tenant", "workflow__definition")
    list_defers = tuple(
        f"workflow__{field}"
        for field in ("input", "metadata", "result", "error", "fan_out", "definition__content")
    )
    search_fields = ("workflow__id",)
    id_fields = ("pk",)
    searches_text = False
    search_help_text = "The id of a workflow"
    sortable_by = ()
    fields = ("of_workflow", "type", "tenant", "rated", "whole", "created_at", "updated_at", "given_with")

    @display(description="rating")
    def rated(self, feedback: Feedback) -> str:
        return status_label(feedback.rating, RATINGS)

    @display(description="type")
    def type(self, feedback: Feedback) -> str:
        return feedback.workflow.definition.type

    @display(description="workflow")
    def of_workflow(self, feedback: Feedback) -> str:
        return link(str(feedback.pk)[:18] + "…", "workflows_workflow_change", feedback.pk)

    @display(description="comment")
    def beginning(self, feedback: Feedback) -> str:
        if feedback.workflow.session_id is not None:
            return NOTHING if not feedback.comment else "said in a session"
        comment = feedback.comment
        return comment if len(comment) <= BEGINNING_CHARACTERS else comment[:BEGINNING_CHARACTERS] + "…"

    @display(description="comment")
    def whole(self, feedback: Feedback) -> str:
        return text_block(feedback.comment)

    @display(description="API key")
    def given_with(self, feedback: Feedback) -> str:
        key = feedback.api_key
        return NOTHING if key is None else link(str(key), "tenants_apikey_change", key.pk)
