"""Notices: what operators and tenants were told, and what operators have seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import NOTHING, json_block, label, moment, status_label, text_block
from apps.console.filters import IdDayFilter
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.notifications.admin.deliveries import DELIVERY_HEADERS, delivery_cells
from apps.notifications.models import Audience, Notice
from apps.notifications.services import notices_acknowledge
from apps.tenants.models import User

SEVERITIES = {"info": "info", "warning": "warning", "critical": "danger"}


class SeenFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unread", "not acknowledged"), ("acknowledged", "acknowledged")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Notice]) -> QuerySet[Notice]:
        match self.value():
            case "unread":
                for_operators = [Audience.OPERATORS, Audience.BOTH]
                return queryset.filter(acknowledged_at=None, audience__in=for_operators)
            case "acknowledged":
                return queryset.exclude(acknowledged_at=None)
        return queryset


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Notices, newest first. One for tenants alone needs no acknowledgement."""

    list_display = ("created_at", "level", "title", "code", "tenant", "audience", "seen")
    list_display_links = ("created_at", "title")
    list_filter = (
        SeenFilter,
        ("severity", ChoicesDropdownFilter),
        ("audience", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", IdDayFilter),
    )
    list_select_related = ("tenant", "acknowledged_by")
    search_fields = ("=code", "title")
    id_fields = ("pk",)
    search_help_text = "Code, words of the title, or the id"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("acknowledge_selected",)
    actions_detail = ("acknowledge",)
    fields = (
        "created_at",
        "level",
        "title",
        "text",
        "code",
        "tenant",
        "audience",
        "document",
        "seen",
        "acknowledged_by",
        "id",
    )

    def detail_tables(self, request: HttpRequest, obj: Notice) -> Sequence[Table]:
        deliveries = obj.deliveries.select_related("endpoint").order_by("pk")[:50]
        return [Table("Deliveries", DELIVERY_HEADERS, [delivery_cells(one) for one in deliveries])]

    @display(description="severity", ordering="severity")
    def level(self, notice: Notice) -> str:
        return status_label(notice.severity, SEVERITIES)

    @display(description="message")
    def text(self, notice: Notice) -> str:
        return text_block(notice.message)

    @display(description="data")
    def document(self, notice: Notice) -> str:
        return json_block(notice.data)

    @display(description="acknowledged")
    def seen(self, notice: Notice) -> str:
        if notice.acknowledged_at is not None:
            return moment(notice.acknowledged_at)
        return NOTHING if notice.audience == Audience.TENANT else label("not yet", "warning")

    # --- Acknowledging -------------------------------------------------------------------------------------

    def has_acknowledge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "acknowledge_notice")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Once acknowledged there is nothing left to do."""
        notice = self.get_object(request, str(object_id))
        if notice is None or notice.acknowledged_at is not None:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(
        description="Acknowledge",
        url_path="acknowledge",
        permissions=["acknowledge"],
        icon="done",
        variant=ActionVariant.PRIMARY,
    )
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        notice = self.find(request, object_id)
        return self._acknowledge(request, [notice], self.detail_url(notice), [])

    @action(description="Acknowledge", permissions=["acknowledge"])
    def acknowledge_selected(self, request: HttpRequest, queryset: QuerySet[Notice]) -> HttpResponse:
        hidden = selection(request, queryset)
        return self._acknowledge(request, list(queryset), request.get_full_path(), hidden)

    def _acknowledge(
        self, request: HttpRequest, notices: list[Notice], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            assert isinstance(request.user, User)
            with transaction.atomic():
                acknowledged = notices_acknowledge([notice.pk for notice in notices], request.user)
                for notice in acknowledged:
                    self.record(request, notice, "Acknowledged")
            messages.success(request, f"Acknowledged: {len(acknowledged)}.")
            return HttpResponseRedirect(back)
        operation = Operation(
            title=f"Acknowledge {len(notices)} notices?" if len(notices) > 1 else "Acknowledge this notice?",
            explanation="It counts as seen by the operators, with your name and the time.",
            submit="Acknowledge",
            back_url=back,
            objects=[notice.title for notice in notices],
            hidden=hidden,
        )
        return operation_page(self, request, operation)
