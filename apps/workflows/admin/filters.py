"""Filters of runs and steps that their indexes can answer, however many rows there are."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from agentplatform.workflows.statuses import WorkflowStatus
from apps.workflows.models import Step, Workflow, WorkflowDefinition

UNFINISHED_STEPS = ("ready", "dispatched", "running", "waiting")


class StatusFilter(DropdownFilter):
    """By status; an unfinished one also says so, for the index of unfinished runs."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("unfinished", "all unfinished"),
            *((status.value, status.value) for status in WorkflowStatus),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> QuerySet[Workflow]:
        value = self.value()
        if value == "unfinished":
            return queryset.filter(finished_at=None)
        if value not in set(WorkflowStatus):
            return queryset
        queryset = queryset.filter(status=value)
        return queryset if WorkflowStatus(value).is_terminal else queryset.filter(finished_at=None)


class TypeFilter(DropdownFilter):
    """By the type of the definition, whichever its version."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = WorkflowDefinition.objects.order_by("type").values_list("type", flat=True).distinct()
        return [(type_, type_) for type_ in types]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> QuerySet[Workflow]:
        if not self.value():
            return queryset
        versions = WorkflowDefinition.objects.filter(type=self.value()).order_by()
        return queryset.filter(definition__in=list(versions.values_list("pk", flat=True)))


class UnfinishedStepFilter(DropdownFilter):
    """By those statuses for which there is an index: what is under way, not the past."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status) for status in UNFINISHED_STEPS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Step]) -> QuerySet[Step]:
        return queryset.filter(status=self.value()) if self.value() in UNFINISHED_STEPS else queryset
