"""Deliveries: what was sent to whom, with every attempt; made again by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display

from apps.console.display import NOTHING, json_block, link, moment, seconds, status_label
from apps.console.filters import IdDayFilter
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.notifications.endpoints import NotRedeliverable, delivery_redeliver
from apps.notifications.models import Delivery

STATUSES = {"pending": "info", "delivered": "success", "failed": "danger", "skipped": ""}
DELIVERY_HEADERS = ("created", "event", "by", "to", "status", "attempts", "reason")


def delivery_cells(delivery: Delivery) -> list[Any]:
    """A delivery as a row of a table."""
    return [
        link(moment(delivery.created_at), "notifications_delivery_change", delivery.pk),
        delivery.event_type,
        delivery.channel,
        destination_of(delivery),
        status_label(delivery.status, STATUSES),
        delivery.attempts,
        delivery.reason or NOTHING,
    ]


def destination_of(delivery: Delivery) -> str:
    """Where a delivery goes; its endpoint may have been deleted."""
    if delivery.channel == Delivery.Channel.EMAIL:
        return delivery.email
    if delivery.endpoint is None:
        return "a deleted endpoint"
    return link(str(delivery.endpoint), "notifications_endpoint_change", delivery.endpoint.pk)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Deliveries, newest first."""

    list_display = (
        "created_at",
        "event_type",
        "tenant",
        "channel",
        "destination",
        "state",
        "attempts",
        "reason",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", IdDayFilter),
    )
    list_select_related = ("tenant", "endpoint")
    list_defers = ("data",)
    search_fields = ("=event_type", "=email")
    id_fields = ("pk", "event_id", "notice_id", "endpoint_id")
    search_help_text = "Event, e-mail address, or the id of a delivery, event, notice or endpoint"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("redeliver_selected",)
    actions_detail = ("redeliver",)
    fields = (
        "created_at",
        "event_type",
        "tenant",
        "channel",
        "destination",
        "state",
        "reason",
        "attempts",
        "next_attempt_at",
        "finished_at",
        "document",
        "of_notice",
        "event_id",
        "id",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("tenant", "endpoint")

    def detail_tables(self, request: HttpRequest, obj: Delivery) -> Sequence[Table]:
        headers = ("started", "took", "answered", "error", "what it says", "beginning of the answer")
        rows = [
            [
                moment(attempt.started_at),
                seconds(attempt.duration_seconds),
                attempt.status_code or NOTHING,
                attempt.error_code or NOTHING,
                attempt.error_message or NOTHING,
                attempt.response_excerpt or NOTHING,
            ]
            for attempt in obj.log.order_by("-pk")[:50]
        ]
        return [Table("Attempts", headers, rows, note="" if rows else "It has not been tried yet.")]

    @display(description="to")
    def destination(self, delivery: Delivery) -> str:
        return destination_of(delivery)

    @display(description="status")
    def state(self, delivery: Delivery) -> str:
        return status_label(delivery.status, STATUSES)

    @display(description="data")
    def document(self, delivery: Delivery) -> str:
        return json_block(delivery.data)

    @display(description="notice")
    def of_notice(self, delivery: Delivery) -> str:
        if delivery.notice_id is None:
            return NOTHING
        return link(str(delivery.notice_id), "notifications_notice_change", delivery.notice_id)

    # --- Making it again -----------------------------------------------------------------------------------

    def has_redeliver_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "redeliver_delivery")

    @action(description="Redeliver", url_path="redeliver", permissions=["redeliver"], icon="replay")
    def redeliver(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = self.find(request, object_id)
        return self._redeliver(request, [delivery], self.detail_url(delivery), [])

    @action(description="Redeliver", permissions=["redeliver"])
    def redeliver_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse:
        return self._redeliver(request, list(queryset), request.get_full_path(), selection(request, queryset))

    def _redeliver(
        self, request: HttpRequest, deliveries: list[Delivery], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            for delivery in deliveries:
                try:
                    with transaction.atomic():
                        delivery_redeliver(delivery)
                        self.record(request, delivery, f"Redelivered: was {delivery.status}")
                except NotRedeliverable as error:
                    messages.error(request, f"{delivery}: not redelivered. {error}")
            return HttpResponseRedirect(back)
        operation = Operation(
            title=f"Redeliver {len(deliveries)} events?" if len(deliveries) > 1 else "Redeliver this event?",
            explanation="It is sent at once, with as many attempts as a new one and the same id.",
            submit="Redeliver",
            back_url=back,
            objects=[f"{one}, {one.status}" for one in deliveries],
            hidden=hidden,
        )
        return operation_page(self, request, operation)
