"""Deliveries: what was sent to whom, with every attempt; made again by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from apps.console.display import NOTHING, json_block, link, moment, seconds, status_label
from apps.console.filters import IdDayFilter
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
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
