"""Queues: their limits can be changed; their lanes, and where admission stands, are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from unfold.decorators import display

from apps.console.display import label, link
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.workflows.models import QueueConfig, Step
from apps.workflows.selectors import READY_COUNTED, lanes_of, queue_load

LANES_SHOWN = 200
BOUNDS: dict[str, tuple[float, float]] = {
    "priority": (0, 1_000),
    "max_concurrent": (1, 100_000),
    "step_timeout_seconds": (1, 86_400),
    "max_attempts": (1, 100),
    "base_backoff_seconds": (0.1, 3_600),
    "max_backoff_seconds": (0.1, 86_400),
    "max_lost_workers": (1, 100),
    "quantum_tokens": (1, 100_000_000),
}
"""The least and the most that each limit may be."""

LANE_NOTE = (
    "The lane with a backlog that has had least goes next. What a lane has had is charged in estimated tokens "
    "over its tier's weight; 'ahead by' is that, measured from the last step that was admitted."
)


class QueueForm(forms.ModelForm):
    """Refuses limits that would stop the queue, or could not be meant."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for name, (least, most) in BOUNDS.items():
            value = cleaned.get(name)
            if value is not None and not least <= value <= most:  # NaN is not between any two numbers
                self.add_error(name, f"Choose a number from {least:,} to {most:,}.")
        base, longest = cleaned.get("base_backoff_seconds"), cleaned.get("max_backoff_seconds")
        if base is not None and longest is not None and longest < base:
            self.add_error("max_backoff_seconds", "The longest delay cannot be shorter than the first.")
        return cleaned


@admin.register(QueueConfig)
class QueueConfigAdmin(ConsoleAdmin):
    """A queue exists because workers serve it, so none is added or deleted here. Changes hold within 5 s."""

    form = QueueForm
    list_display = (
        "name",
        "priority",
        "ready",
        "active",
        "max_concurrent",
        "step_timeout_seconds",
        "max_attempts",
        "base_backoff_seconds",
    )
    fields = ("name", *BOUNDS, "ready", "active")
    readonly_fields = ("name", "ready", "active")
    ordering = ("-priority",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: QueueConfig, form: forms.ModelForm, change: bool) -> None:
        """Writes what was changed and nothing else: admission moves `virtual_time` all the while."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        if changes:
            QueueConfig.objects.filter(pk=obj.pk).update(**changes)

    def complete_rows(self, rows: Sequence[Any]) -> None:
        for queue in rows:
            queue.load = queue_load(queue.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        queue = super().get_object(request, object_id, from_field)
        if queue is not None:
            self.complete_rows([queue])
        return queue

    @display(description="ready steps")
    def ready(self, queue: Any) -> str:
        count = queue.load.ready
        return f"{count:,}" if count <= READY_COUNTED else f"more than {READY_COUNTED:,}"

    @display(description="running steps")
    def active(self, queue: Any) -> str:
        return f"{queue.load.active:,}"

    def detail_tables(self, request: HttpRequest, obj: QueueConfig) -> Sequence[Table]:
        lanes = lanes_of(obj.pk, LANES_SHOWN)
        steps = Step.objects.filter(queue=obj, status__in=["dispatched", "running"]).order_by()
        active = dict(steps.values_list("tenant").annotate(Count("pk")))
        rows = [
            [
                link(lane.tenant.name, "tenants_tenant_change", lane.tenant_id),
                lane.tenant.tier_id,
                label("backlog", "warning") if lane.backlogged else label("idle"),
                f"{active.get(lane.tenant_id, 0):,} of {lane.tenant.tier.max_concurrent_steps:,}",
                f"{max(0.0, lane.virtual_time - obj.virtual_time):,.0f}",
            ]
            for lane in lanes
        ]
        headers = ("tenant", "tier", "state", "running steps", "ahead by")
        cut = f" The first {LANES_SHOWN} lanes." if len(rows) == LANES_SHOWN else ""
        return [
            Table("Lanes", headers, rows, LANE_NOTE + cut if rows else "No tenant has used this queue yet.")
        ]
