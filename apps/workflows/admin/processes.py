"""Processes of the stack, by their heartbeats."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from unfold.decorators import display

from apps.console.display import label, mebibytes, seconds, status_label
from apps.console.pages import ReadOnlyAdmin
from apps.workflows.models import Heartbeat
from apps.workflows.selectors import LIVE_SECONDS


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """A process counts as live for 20 s after its last heartbeat, by the database's clock."""

    list_display = ("name", "kind", "state", "serves", "slots_busy", "memory", "started_at", "beat")
    search_fields = ("name", "kind")
    ordering = ("kind", "name")
    fields = (
        "name",
        "kind",
        "node",
        "state",
        "serves",
        "is_lendable",
        "slots_busy",
        "memory",
        "started_at",
        "beat_at",
        "beat",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Heartbeat]:
        age = ExpressionWrapper(Now() - F("beat_at"), output_field=DurationField())
        return super().get_queryset(request).annotate(age=age)

    @display(description="state")
    def state(self, process: Any) -> str:
        return status_label(
            "live" if process.age.total_seconds() <= LIVE_SECONDS else "silent",
            {"live": "success", "silent": "danger"},
        )

    @display(description="serves")
    def serves(self, process: Heartbeat) -> Any:
        serves = ", ".join(process.queues) or "–"
        if not process.home or set(process.home) == set(process.queues):
            return serves
        return label(f"{serves} (lent by {', '.join(process.home)})", "warning")

    @display(description="slots busy")
    def slots_busy(self, process: Heartbeat) -> str:
        return f"{process.busy} of {process.slots}" if process.slots else "–"

    @display(description="memory", ordering="rss_bytes")
    def memory(self, process: Heartbeat) -> str:
        return mebibytes(process.rss_bytes)

    @display(description="last heartbeat", ordering="beat_at")
    def beat(self, process: Any) -> str:
        return f"{seconds(max(0.0, process.age.total_seconds()))} ago"
