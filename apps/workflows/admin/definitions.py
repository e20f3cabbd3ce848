"""Definitions, to read: they are declared in code, and a version never changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from apps.console.display import NOTHING, folded_json, json_block
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.workflows.models import WorkflowDefinition


@admin.register(WorkflowDefinition)
class WorkflowDefinitionAdmin(ReadOnlyAdmin):
    list_display = ("type", "version", "title", "is_current", "step_count", "created_at")
    list_filter = (("is_current", BooleanRadioFilter),)
    search_fields = ("type", "title")
    ordering = ("type", "-version")
    fields = (
        "type",
        "version",
        "is_current",
        "title",
        "description",
        "result_step",
        "created_at",
        "content_hash",
        "input_schema",
        "examples",
    )

    def detail_tables(self, request: HttpRequest, obj: WorkflowDefinition) -> Sequence[Table]:
        headers = (
            "step",
            "agent",
            "tier",
            "needs",
            "once for each",
            "attempts",
            "time limit",
            "when it gives up",
            "charged tokens",
            "options",
        )
        return [Table("Steps", headers, [_step_row(spec) for spec in obj.content["steps"]])]

    @display(description="steps")
    def step_count(self, definition: WorkflowDefinition) -> int:
        return len(definition.content["steps"])

    @display(description="description")
    def description(self, definition: WorkflowDefinition) -> str:
        return str(definition.content.get("description") or NOTHING)

    @display(description="result is the output of")
    def result_step(self, definition: WorkflowDefinition) -> str:
        return str(definition.content["result"])

    @display(description="input schema")
    def input_schema(self, definition: WorkflowDefinition) -> str:
        return json_block(definition.content["input_schema"])

    @display(description="examples")
    def examples(self, definition: WorkflowDefinition) -> str:
        return json_block(definition.content.get("examples") or None)


def _step_row(spec: Mapping[str, Any]) -> list[Any]:
    timeout = spec.get("timeout_seconds")
    return [
        spec["key"],
        spec["agent"],
        spec["tier"],
        ", ".join(spec.get("needs") or ()) or NOTHING,
        spec.get("for_each") or NOTHING,
        spec.get("max_attempts") or "as its queue",
        f"{timeout} s" if timeout else "as its queue",
        "the workflow fails" if spec.get("on_failure", "fail") == "fail" else "it is skipped",
        f"{spec['estimated_tokens']:,}",
        folded_json("show", spec["options"]) if spec.get("options") else NOTHING,
    ]
