"""Profiles of tasks, and drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from unfold.decorators import display

from apps.console.pages import ConsoleAdmin, ReadOnlyAdmin
from apps.console.tables import Table
from apps.insights.drift_page import drift_page, readings_panel
from apps.insights.models import DriftReference, DriftWindow, HourlyRunProfile
from apps.insights.profiles_page import profiles_page


@admin.register(HourlyRunProfile)
class HourlyRunProfileAdmin(ReadOnlyAdmin):
    """Profiles of types of tasks: the page, and the rows of each hour behind it."""

    list_display = ("hour", "task_type", "queue", "tenant_tier", "arrived", "finished")
    list_filter = ("queue", "tenant_tier")
    list_defers = ("sketches",)
    search_fields = ("task_type",)
    sortable_by = ()
    fields = ("hour", "task_type", "queue", "tenant_tier", "counts")

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.profiles)
        own = path("profiles/", page, name="insights_hourlyrunprofile_profiles")
        return [own, *super().get_urls()]

    def profiles(self, request: HttpRequest) -> HttpResponseBase:
        """What types of tasks take and cost."""
        return profiles_page(self, request)

    @display(description="arrived")
    def arrived(self, row: HourlyRunProfile) -> int:
        return int(row.counts["arrived"])

    @display(description="finished")
    def finished(self, row: HourlyRunProfile) -> int:
        return int(row.counts["finished"])


@admin.register(DriftWindow)
class DriftWindowAdmin(ReadOnlyAdmin):
    """Windows that were compared with their reference, each with all its measures; and the page of drift."""

    list_display = ("starts_at", "ends_at", "runs", "reference_windows", "compared", "shifted")
    list_filter = ("starts_at",)
    sortable_by = ()
    fields = (
        "starts_at",
        "ends_at",
        "reference_starts_at",
        "reference_ends_at",
        "reference_windows",
        "runs",
        "compared",
        "shifted",
        "computed_at",
    )

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.drift)
        return [path("drift/", page, name="insights_driftwindow_drift"), *super().get_urls()]

    def drift(self, request: HttpRequest) -> HttpResponseBase:
        """What has shifted lately."""
        return drift_page(self, request)

    def detail_tables(self, request: HttpRequest, obj: Any) -> Sequence[Table]:
        return [readings_panel(obj).table]


@admin.register(DriftReference)
class DriftReferenceAdmin(ConsoleAdmin):
    """Times that windows are compared with instead of the days before them. The latest one in force counts."""

    list_display = ("starts_at", "ends_at", "note", "is_active", "created_by", "created_at")
    list_select_related = ("created_by",)
    sortable_by = ()
    fields = ("starts_at", "ends_at", "note", "is_active")

    def save_model(
        self, request: HttpRequest, obj: DriftReference, form: forms.ModelForm[Any], change: bool
    ) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
