"""Batches of calls, to look at and to cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import NOTHING, between, dollars, link, status_label
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.gateway.batches import CANCELLABLE, batch_request_cancel
from apps.gateway.models import BatchRequest, ProviderBatch

STATUSES = {
    "queued": "info",
    "submitting": "info",
    "in_progress": "info",
    "canceling": "warning",
    "ended": "info",
    "settled": "success",
    "cancelled": "",
    "failed": "danger",
}
REQUEST_STATUSES = {"succeeded": "success", "errored": "danger", "expired": "warning", "submitted": "info"}
SHOWN_REQUESTS = 100
CANCELLING = (
    "What the provider has not answered by then is asked in the ordinary way, at the full price, if its workflow still "
    "waits for it. What it has answered is kept and paid for."
)


@admin.register(ProviderBatch)
class ProviderBatchAdmin(ReadOnlyAdmin):
    """Every batch, newest first, with how its requests have ended."""

    list_display = (
        "id",
        "created_at",
        "provider",
        "model",
        "state",
        "request_count",
        "succeeded_count",
        "errored_count",
        "expired_count",
        "cancelled_count",
        "took",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("provider", FieldTextFilter),
        ("model", FieldTextFilter),
    )
    search_fields = ("provider_batch_id",)
    search_help_text = "The provider's id of a batch"
    ordering = ("-id",)
    fields = (
        "id",
        "provider",
        "model",
        "provider_batch_id",
        "state",
        "error_code",
        "failures",
        "request_count",
        "succeeded_count",
        "errored_count",
        "expired_count",
        "cancelled_count",
        "created_at",
        "submitted_at",
        "ended_at",
        "settled_at",
        "expires_at",
        "cancel_requested_at",
        "due_at",
        "took",
    )
    actions = ("cancel_selected",)
    actions_detail = ("cancel",)

    @display(description="status")
    def state(self, batch: ProviderBatch) -> str:
        return status_label(batch.status, STATUSES)

    @display(description="took")
    def took(self, batch: ProviderBatch) -> str:
        return between(batch.submitted_at, batch.ended_at)

    def detail_tables(self, request: HttpRequest, obj: Any) -> Sequence[Table]:
        requests = list(obj.requests.select_related("call", "tenant").order_by("pk")[:SHOWN_REQUESTS])
        note = (
            f"The first {SHOWN_REQUESTS} of {obj.request_count:,}." if len(requests) == SHOWN_REQUESTS else ""
        )
        headers = ["call", "tenant", "workflow", "status", "tokens in / out", "cost", "error"]
        return [Table("Requests", headers, [_row(item) for item in requests], note)]

    # --- Cancelling ------------------------------------------------------------------------------------------

    def has_cancel_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "cancel_providerbatch")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what can still be cancelled has the button."""
        batch = self.get_object(request, str(object_id))
        allowed = super().get_actions_detail(request, object_id)
        return allowed if batch is not None and _can_be_cancelled(batch) else []

    @action(
        description="Cancel",
        url_path="cancel",
        permissions=["cancel"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        batch = self.find(request, object_id)
        return self._cancel(request, [batch], self.detail_url(batch), [])

    @action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[ProviderBatch]) -> HttpResponse:
        return self._cancel(request, list(queryset), self.list_url, selection(request, queryset))

    def _cancel(
        self, request: HttpRequest, batches: list[ProviderBatch], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if not is_confirmed(request):
            shown = [f"{batch} ({batch.status})" for batch in batches]
            title = "Cancel batches?" if len(batches) > 1 else f"Cancel {batches[0]}?"
            operation = Operation(title, CANCELLING, "Cancel", back, None, shown, hidden, True)
            return operation_page(self, request, operation)
        cancelled = [batch for batch in batches if batch_request_cancel(batch)]
        for batch in cancelled:
            self.record(request, batch, f"Cancelled while {batch.status}")
        if cancelled:
            messages.success(request, f"Being cancelled: {', '.join(map(str, cancelled))}.")
        if len(cancelled) < len(batches):
            messages.warning(request, "The others have ended, or are being cancelled already.")
        return HttpResponseRedirect(back)


def _can_be_cancelled(batch: ProviderBatch) -> bool:
    return batch.status in CANCELLABLE and batch.cancel_requested_at is None


def _row(item: BatchRequest) -> list[Any]:
    call = item.call
    return [
        link(str(call.pk)[:13] + "…", "gateway_call_change", call.pk),
        item.tenant.name,
        link(str(item.workflow_id)[:13] + "…", "workflows_workflow_change", item.workflow_id),
        status_label(item.status, REQUEST_STATUSES),
        f"{call.input_tokens:,} / {call.output_tokens:,}",
        dollars(call.cost_usd_micros),
        call.error_code or NOTHING,
    ]
