"""Queues: their limits can be changed; their lanes, and where admission stands, are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from agentplatform.workflows.queueing import why_ready_waits
from apps.console.display import label, link, seconds
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.workflows.models import Lane, QueueConfig, QueuePool, Step
from apps.workflows.selectors import lane_facts, lanes_of, queue_signals

LANES_SHOWN = 200
BOUNDS: dict[str, tuple[float, float]] = {
    "priority": (0, 1_000),
    "max_concurrent": (1, 100_000),
    "step_timeout_seconds": (1, 86_400),
    "max_attempts": (1, 100),
    "base_backoff_seconds": (0.1, 3_600),
    "max_backoff_seconds": (0.1, 86_400),
    "max_lost_workers": (1, 100),
    "dedicated_slots": (0, 100_000),
    "lendable_slots": (0, 100_000),
    "borrowable_slots": (0, 100_000),
    "borrow_after_seconds": (1, 86_400),
    "quantum_tokens": (1, 100_000_000),
}
"""The least and the most that each limit may be."""

RETRIES = (
    "step_timeout_seconds",
    "max_attempts",
    "base_backoff_seconds",
    "max_backoff_seconds",
    "max_lost_workers",
)
LENDING = ("dedicated_slots", "lendable_slots", "borrowable_slots", "borrow_after_seconds")

REASONS_SHOWN = 20
"""For so many lanes it is looked up why their steps wait."""

BACKLOG_NOTE = "The backlog is the work that waits, in seconds of one slot, by how long steps took lately."
LANE_NOTE = (
    "The lane with a backlog that has had least goes next. What a lane has had is charged in estimated tokens "
    "over its weight, and corrected when a step has ended; 'ahead by' is that, measured from the last step that was admitted."
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
        dedicated, lendable = cleaned.get("dedicated_slots"), cleaned.get("lendable_slots")
        if dedicated is not None and lendable is not None and lendable > dedicated:
            self.add_error("lendable_slots", f"It cannot lend more than its own {dedicated:,} slots.")
        return cleaned


class PoolForm(forms.ModelForm):
    """Refuses shares that are none, and limits that would stop a tier."""

    def clean_guaranteed_percent(self) -> int:
        percent = int(self.cleaned_data["guaranteed_percent"])
        if percent > 100:
            raise forms.ValidationError("Choose a percentage from 0 to 100.")
        return percent

    def clean_max_concurrent(self) -> int | None:
        most: int | None = self.cleaned_data["max_concurrent"]
        if most is not None and not 1 <= most <= 100_000:
            raise forms.ValidationError("Choose a number from 1 to 100,000, or leave it empty for no limit.")
        return most


class PoolFormSet(forms.BaseInlineFormSet):
    """Refuses guarantees of tiers with the same workers that are more than all of the slots."""

    def clean(self) -> None:
        super().clean()
        given: dict[str, int] = {}
        for form in self.forms:
            tier, percent = form.instance.tier, form.cleaned_data.get("guaranteed_percent")
            given[tier.pool] = given.get(tier.pool, 0) + (percent or 0)
        for pool, percent in given.items():
            if percent > 100:
                raise forms.ValidationError(
                    f"The tiers on the {pool} workers are guaranteed {percent}% together; 100% is all there is."
                )


class PoolInline(TabularInline):
    """The tiers' pools in a queue; there is one for every tier."""

    model = QueuePool
    form = PoolForm
    formset = PoolFormSet
    fields = ("tier", "guaranteed_percent", "max_concurrent")
    readonly_fields = ("tier",)
    verbose_name_plural = "Pools: each tier's own share of the slots"
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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
        "slots",
        "lending",
        "oldest_wait",
        "step_timeout_seconds",
        "max_attempts",
        "base_backoff_seconds",
    )
    fieldsets = (
        (None, {"fields": ("name", "priority", "max_concurrent", "quantum_tokens", "ready", "active")}),
        ("Steps", {"fields": RETRIES}),
        ("Slots and lending", {"fields": ("slots", *LENDING, "lending")}),
    )
    readonly_fields = ("name", "ready", "active", "slots", "lending")
    inlines = (PoolInline,)
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
        signals = queue_signals()
        for queue in rows:
            queue.signals = [signal for signal in signals if signal.queue == queue.pk]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        queue = super().get_object(request, object_id, from_field)
        if queue is not None:
            self.complete_rows([queue])
        return queue

    @display(description="ready steps")
    def ready(self, queue: Any) -> str:
        return f"{sum(signal.ready for signal in queue.signals):,}"

    @display(description="running steps")
    def active(self, queue: Any) -> str:
        return f"{sum(signal.active for signal in queue.signals):,}"

    @display(description="live slots")
    def slots(self, queue: Any) -> str:
        """By pool of workers; fewer than the dedicated ones are a lack of workers."""
        return ", ".join(f"{signal.slots:,} {signal.pool}" for signal in queue.signals)

    @display(description="lends / borrows up to")
    def lending(self, queue: QueueConfig) -> str:
        return f"{queue.lendable_slots:,} of {queue.dedicated_slots:,} / {queue.borrowable_slots:,}"

    @display(description="oldest wait")
    def oldest_wait(self, queue: Any) -> str:
        return seconds(max(signal.oldest_wait_seconds for signal in queue.signals))

    def detail_tables(self, request: HttpRequest, obj: QueueConfig) -> Sequence[Table]:
        return [_pools_table(obj), self._lanes_table(obj)]

    def _lanes_table(self, obj: QueueConfig) -> Table:
        lanes = lanes_of(obj.pk, LANES_SHOWN)
        steps = Step.objects.filter(queue=obj, status__in=["dispatched", "running"]).order_by()
        active = dict(steps.values_list("tenant").annotate(Count("pk")))
        rows = [
            [
                link(lane.tenant.name, "tenants_tenant_change", lane.tenant_id),
                lane.tenant.tier_id,
                label("backlog", "warning") if lane.backlogged else label("idle"),
                _reason(obj, lane) if number < REASONS_SHOWN else "",
                f"{active.get(lane.tenant_id, 0):,} (of {lane.tenant.limit('max_concurrent_steps'):,} in all)",
                f"{max(0.0, lane.virtual_time - obj.virtual_times.get(lane.tenant.tier.pool, 0.0)):,.0f}",
            ]
            for number, lane in enumerate(lanes)
        ]
        headers = ("tenant", "tier", "state", "waits because", "running steps", "ahead by")
        cut = f" The first {LANES_SHOWN} lanes." if len(rows) == LANES_SHOWN else ""
        return Table(
            "Lanes", headers, rows, LANE_NOTE + cut if rows else "No tenant has used this queue yet."
        )


def _reason(queue: QueueConfig, lane: Lane) -> str:
    """Why the steps of a lane with a backlog wait."""
    return why_ready_waits(lane_facts(queue.pk, lane.tenant_id)).message if lane.backlogged else ""


def _pools_table(queue: Any) -> Table:
    """How the queue stands for each pool of workers."""
    rows = [
        [
            signal.pool,
            f"{signal.slots:,}",
            f"{max(0, signal.free):,}",
            f"{signal.ready:,}",
            seconds(signal.oldest_wait_seconds),
            seconds(signal.backlog.work_seconds),
            seconds(signal.backlog.drain_seconds),
        ]
        for signal in queue.signals
    ]
    headers = ("workers", "live slots", "free", "ready steps", "oldest wait", "backlog", "done in")
    return Table("Workers and backlog", headers, rows, BACKLOG_NOTE)
