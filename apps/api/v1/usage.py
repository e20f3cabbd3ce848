"""What a tenant has used and what it cost, grouped as it asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.csv import CsvRenderer
from apps.api.errors import Problem
from apps.api.pagination import bad_parameter, text_parameter
from apps.api.periods import DEFAULT_DAYS, PERIOD_PARAMETERS, iso, period_of
from apps.api.v1.workflows import tenant_of
from apps.budgets.spend_selectors import SpendLine, names_of, spend_by, total_of
from apps.insights.selectors import tenant_projections
from apps.workflows.cost_selectors import task_costs

DIMENSIONS = ("day", "hour", "task_type", "model", "tier", "agent", "provider", "api_key", "kind")
MAX_DIMENSIONS = 3
MAX_ROWS = 10_000
FORMATS = ("json", "csv")

_AMOUNTS = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "served_tokens",
    "cost_usd_micros",
    "avoided_usd_micros",
    "unknown_usd_micros",
)


class AmountsSerializer(serializers.Serializer):
    """What was used, and what it cost."""

    calls = serializers.IntegerField(help_text="Attempts of calls, answers from a cache included.")
    input_tokens = serializers.IntegerField(help_text="All, those of the prompt cache included.")
    output_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField(
        help_text="Of the input: read from the provider's prompt cache."
    )
    served_tokens = serializers.IntegerField(help_text="Of answers that were served without being bought.")
    cost_usd_micros = serializers.IntegerField()
    avoided_usd_micros = serializers.IntegerField(
        help_text="What it would have cost more, made at once and with nothing cached."
    )
    unknown_usd_micros = serializers.IntegerField(
        help_text="Of the cost: of calls that nobody came back from, at their worst case."
    )


class UsageRowSerializer(AmountsSerializer):
    """One group; of the dimensions it has those that were asked for."""

    day = serializers.DateField(required=False)
    hour = serializers.DateTimeField(required=False)
    task_type = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    tier = serializers.CharField(required=False)
    agent = serializers.CharField(required=False)
    provider = serializers.CharField(required=False)
    kind = serializers.CharField(required=False)
    api_key = serializers.UUIDField(required=False, allow_null=True)
    api_key_name = serializers.CharField(required=False)


class UsageSerializer(serializers.Serializer):
    """Usage in [from, to): in all, and by group."""

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of the language and cannot be declared as an attribute.
        return {
            "from": serializers.DateTimeField(help_text="Included."),
            "to": serializers.DateTimeField(help_text="Not included."),
            "group_by": serializers.ListField(child=serializers.ChoiceField(DIMENSIONS)),
            "totals": AmountsSerializer(),
            "rows": UsageRowSerializer(many=True),
        }


class UsageView(APIView):
    """The tenant's own usage: calls, tokens and money, in UTC. As JSON, or its rows as CSV."""

    renderer_classes = [JSONRenderer, CsvRenderer]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        asked = request.query_params.get("format")
        if asked is not None and asked not in FORMATS:
            return JSONRenderer(), JSONRenderer.media_type
        return super().perform_content_negotiation(request, force)

    @extend_schema(
        operation_id="usage_read",
        parameters=[
            *PERIOD_PARAMETERS,
            OpenApiParameter(
                "group_by",
                OpenApiTypes.STR,
                description=f"Up to {MAX_DIMENSIONS} of {', '.join(DIMENSIONS)}, separated by commas; day without it.",
            ),
            OpenApiParameter("format", OpenApiTypes.STR, enum=FORMATS, description="Or by `Accept`."),
        ],
        responses={
            (200, "application/json"): UsageSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> Response:
        if request.query_params.get("format", FORMATS[0]) not in FORMATS:
            raise bad_parameter("format", f"must be one of: {', '.join(FORMATS)}")
        dimensions = _dimensions(request)
        since, until = period_of(request)
        lines = spend_by(dimensions, since, until, limit=MAX_ROWS + 1, tenant=tenant_of(request).pk)
        if len(lines) > MAX_ROWS:
            detail = f"That is more than {MAX_ROWS:,} rows. Ask for a shorter period, or group by less."
            raise Problem(400, "too_many_rows", detail)
        document = {
            "from": iso(since),
            "to": iso(until),
            "group_by": dimensions,
            "totals": _amounts(total_of(lines)),
            "rows": _rows(dimensions, lines),
        }
        if request.accepted_renderer.format == CsvRenderer.format:
            names = ["api_key_name"] if "api_key" in dimensions else []
            response = Response({**document, "columns": [*dimensions, *names, *_AMOUNTS]})
            response["Content-Disposition"] = 'attachment; filename="usage.csv"'
            return response
        return Response(document)


class ProjectionSerializer(serializers.Serializer):
    """What the tenant will have spent at the end of the present day or month (UTC)."""

    period = serializers.ChoiceField(["day", "month"])
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    spent_usd_micros = serializers.IntegerField(source="projection.spent_usd_micros")
    expected_usd_micros = serializers.IntegerField(source="projection.expected_usd_micros")
    low_usd_micros = serializers.IntegerField(source="projection.low_usd_micros")
    high_usd_micros = serializers.IntegerField(
        source="projection.high_usd_micros", help_text="From low to high it should hold in 80 of 100 cases."
    )
    days_of_history = serializers.FloatField(
        source="projection.days_of_history", help_text="With less than a week, take it with caution."
    )


class ProjectionsView(APIView):
    """What today and this month will have cost, by weekday, hour and growth of the last eight weeks."""

    @extend_schema(operation_id="usage_projection", responses=ProjectionSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(ProjectionSerializer(tenant_projections(tenant_of(request).pk), many=True).data)


class TaskCostSerializer(serializers.Serializer):
    """What the finished runs of one type have cost."""

    type = serializers.CharField(source="task_type")
    finished = serializers.IntegerField()
    mean_usd_micros = serializers.IntegerField()
    max_usd_micros = serializers.IntegerField()
    total_usd_micros = serializers.IntegerField()


class TaskCostsView(APIView):
    """Cost per task: of runs that were submitted since `from` and have finished, by type."""

    @extend_schema(
        operation_id="usage_tasks",
        parameters=[
            OpenApiParameter(
                "from",
                OpenApiTypes.STR,
                description=f"A day, or a full hour with its offset; {DEFAULT_DAYS} days ago without it.",
            )
        ],
        responses=TaskCostSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        since, _ = period_of(request)
        return Response(TaskCostSerializer(task_costs(since, tenant_of(request).pk), many=True).data)


def _rows(dimensions: Sequence[str], lines: Sequence[SpendLine]) -> list[dict[str, Any]]:
    keys = [line.key[dimensions.index("api_key")] for line in lines] if "api_key" in dimensions else []
    key_names = names_of("api_key", keys)
    rows = []
    for line in lines:
        row: dict[str, Any] = {}
        for name, value in zip(dimensions, line.key, strict=True):
            row[name] = _shown(name, value)
            if name == "api_key":
                row["api_key_name"] = key_names.get(value, "")
        rows.append({**row, **_amounts(line)})
    return rows


def _shown(dimension: str, value: Any) -> Any:
    match dimension:
        case "day":
            return value.date().isoformat()
        case "hour":
            return iso(value)
        case "api_key":
            return None if value is None else str(value)
    return value


def _amounts(line: SpendLine) -> dict[str, int]:
    return {name: getattr(line, name) for name in _AMOUNTS}


def _dimensions(request: Request) -> list[str]:
    text = text_parameter(request, "group_by") or "day"
    asked = [part.strip() for part in text.split(",")]
    if not set(asked) <= set(DIMENSIONS) or len(set(asked)) < len(asked) or len(asked) > MAX_DIMENSIONS:
        what = f"must be up to {MAX_DIMENSIONS} of: {', '.join(DIMENSIONS)}; separated by commas"
        raise bad_parameter("group_by", what)
    return asked
