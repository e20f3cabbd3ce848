"""Results of maintenance tasks, to read. Steps leave none: their results are their own."""

from __future__ import annotations

import json

from django.contrib import admin
from django_celery_results.models import GroupResult, TaskResult
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, ChoicesDropdownFilter
from unfold.decorators import display

from apps.console.display import between, json_block, status_label, text_block
from apps.console.filters import DayFilter
from apps.console.pages import ReadOnlyAdmin

STATUSES = {"SUCCESS": "success", "FAILURE": "danger", "STARTED": "info", "RETRY": "warning"}

admin.site.unregister(TaskResult)
admin.site.unregister(GroupResult)


@admin.register(TaskResult)
class TaskResultAdmin(ReadOnlyAdmin):
    list_display = ("task_name", "state", "date_done", "took", "worker", "task_id")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("task_name", AllValuesCheckboxFilter),
        ("date_done", DayFilter),
    )
    search_fields = ("task_name", "task_id")
    ordering = ("-id",)
    fields = (
        "task_name",
        "task_id",
        "state",
        "worker",
        "date_created",
        "date_started",
        "date_done",
        "took",
        "outcome",
        "trace",
    )

    @display(description="status", ordering="status")
    def state(self, result: TaskResult) -> str:
        return status_label(str(result.status), STATUSES)

    @display(description="took")
    def took(self, result: TaskResult) -> str:
        return between(result.date_started or result.date_created, result.date_done)

    @display(description="result")
    def outcome(self, result: TaskResult) -> str:
        try:
            return json_block(json.loads(result.result or "null"))
        except ValueError:
            return text_block(result.result)

    @display(description="traceback")
    def trace(self, result: TaskResult) -> str:
        return text_block(result.traceback or "")
