"""The call journal, to read."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, FieldTextFilter
from unfold.decorators import display

from agentplatform.llm.tiers import Tier
from apps.console.display import (
    NOTHING,
    between,
    dollars,
    folded_json,
    json_block,
    label,
    link,
    seconds,
    status_label,
)
from apps.console.filters import IdDayFilter
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.console.tables import Table
from apps.gateway.admin.routing import routing_page
from apps.gateway.models import Call, Provider

STATUSES = {"started": "info", "settled": "success", "failed": "danger", "unknown": "warning"}


class _ValueFilter(DropdownFilter, ABC):
    """By one of a few values of a field, which is named by `parameter_name`; others are passed over."""

    @abstractmethod
    def values(self) -> list[str]:
        """What may be chosen."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in self.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        value = self.value()
        return queryset.filter(**{self.parameter_name: value}) if value in self.values() else queryset


class TierFilter(_ValueFilter):
    title = "tier"
    parameter_name = "tier"

    def values(self) -> list[str]:
        return [tier.value for tier in Tier]


class ProviderFilter(_ValueFilter):
    title = "provider"
    parameter_name = "provider"

    def values(self) -> list[str]:
        return list(Provider.objects.values_list("name", flat=True))


class LaneFilter(DropdownFilter):
    """Those of the batch lane are found by an index of their own."""

    title = "lane"
    parameter_name = "lane"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "live"), ("batch", "batch")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        match self.value():
            case "live":
                return queryset.filter(lane="live")
            case "batch":
                return queryset.exclude(lane="live")
        return queryset


class EscalatedFilter(DropdownFilter):
    title = "escalated"
    parameter_name = "escalated"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "from a lower tier"), *((tier.value, f"from {tier.value}") for tier in Tier)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        value = self.value()
        if value not in ("yes", *Tier):
            return queryset
        escalated = queryset.exclude(escalated_from="")
        return escalated if value == "yes" else escalated.filter(escalated_from=value)


@admin.register(Call)
class CallAdmin(SaidInRunsAdmin, ReadOnlyAdmin):
    """Every model call, newest first: by the id's time, which is when it was made."""

    said_fields = ("answer",)

    list_display = (
        "started_at",
        "tenant",
        "task_type",
        "agent",
        "state",
        "served",
        "model",
        "scored",
        "tokens",
        "cost",
        "took",
        "workflow",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        TierFilter,
        ProviderFilter,
        LaneFilter,
        EscalatedFilter,
        ("started_at", IdDayFilter),
        ("task_type", FieldTextFilter),
        ("model", FieldTextFilter),
    )
    list_select_related = ("tenant",)
    search_fields = ("id",)
    list_defers = ("response",)
    id_fields = ("pk", "step_id", "workflow_id")
    searches_text = False
    search_help_text = "The id of a call, a step or a workflow"
    ordering = ("-id",)
    fields = (
        "id",
        "tenant",
        "state",
        "error_code",
        "tier",
        "provider",
        "model",
        "lane",
        "scored",
        "routing_reason",
        "escalated",
        "tokens",
        "cached",
        "cost",
        "started_at",
        "settled_at",
        "took",
        "task_type",
        "agent",
        "workflow",
        "step_id",
        "attempt",
        "ordinal",
        "request_hash",
        "provider_request_id",
        "kept",
        "answer",
    )

    def get_urls(self) -> list[URLPattern]:
        own = path("routing/", self.admin_site.admin_view(self.routing), name="gateway_call_routing")
        return [own, *super().get_urls()]

    def routing(self, request: HttpRequest) -> HttpResponse:
        """How calls were routed lately."""
        return routing_page(self, request)

    @display(description="status")
    def state(self, call: Call) -> str:
        return status_label(call.status, STATUSES)

    @display(description="tier at provider")
    def served(self, call: Call) -> str:
        escalated = f"{call.escalated_from} → " if call.escalated_from else ""
        lane = "" if call.lane == "live" else f" ({call.lane})"
        kept = "" if call.cache is None else f" (from the cache: {call.cache.get('layer')})"
        return f"{escalated}{call.tier} at {call.provider}{lane}{kept}"

    @display(description="complexity")
    def scored(self, call: Call) -> str:
        return NOTHING if call.complexity is None else f"{call.complexity:.2f}"

    @display(description="escalated from")
    def escalated(self, call: Call) -> str:
        return call.escalated_from or NOTHING

    @display(description="input from the prompt cache")
    def cached(self, call: Call) -> str:
        return f"{call.cache_read_tokens:,} of {call.input_tokens:,} tokens"

    @display(description="from the cache")
    def kept(self, call: Call) -> str:
        return NOTHING if call.cache is None else served_words(call.cache)

    @display(description="tokens in / out")
    def tokens(self, call: Call) -> str:
        return f"{call.input_tokens:,} / {call.output_tokens:,}"

    @display(description="cost")
    def cost(self, call: Call) -> str:
        return cost_of(call)

    @display(description="took")
    def took(self, call: Call) -> str:
        return between(call.started_at, call.settled_at)

    @display(description="workflow")
    def workflow(self, call: Call) -> str:
        return link(str(call.workflow_id)[:13] + "…", "workflows_workflow_change", call.workflow_id)

    @display(description="response")
    def answer(self, call: Call) -> str:
        return json_block(call.response)


def cost_of(call: Call) -> str:
    kept = "" if call.cache is None else f" (cache: {call.cache.get('layer')})"
    return dollars(call.cost_usd_micros) + (" (estimated)" if call.estimated else "") + kept


def served_words(cache: Mapping[str, Any]) -> SafeString:
    """Which kept answer was served: its layer, how alike the questions are, its age, and the run that it is from."""
    source = str(cache.get("source_workflow_id", ""))
    alike = f"similarity {cache.get('similarity', 1.0):.3f}"
    if "probability" in cache:
        alike = f"{alike}, probability {cache['probability']:.3f}"
    return format_html(
        "{} {}, {} old, from {}",
        label(str(cache.get("layer", ""))),
        alike,
        seconds(cache.get("age_seconds")),
        link(source[:13] + "…", "workflows_workflow_change", source) if source else NOTHING,
    )


def calls_table(
    calls: Iterable[Call], steps: Mapping[uuid.UUID, str], with_responses: bool = True, note: str = ""
) -> Table:
    """Calls below the workflow or step that made them; `steps` names their steps by id."""
    headers = [
        "call",
        "agent",
        "attempt",
        "status",
        "tier",
        "model",
        "tokens in / out",
        "cost",
        "took",
        "error",
    ]
    rows = []
    for call in calls:
        row = [
            link(f"{steps.get(call.step_id, call.step_id)} #{call.ordinal}", "gateway_call_change", call.pk),
            call.agent,
            call.attempt,
            status_label(call.status, STATUSES),
            call.tier,
            call.model,
            f"{call.input_tokens:,} / {call.output_tokens:,}",
            cost_of(call),
            between(call.started_at, call.settled_at),
            call.error_code or NOTHING,
        ]
        rows.append([*row, folded_json("show", call.response)] if with_responses else row)
    return Table("Model calls", [*headers, "response"] if with_responses else headers, rows, note)
