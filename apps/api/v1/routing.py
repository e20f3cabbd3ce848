"""How calls were routed lately, for operators."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.pagination import bad_parameter
from apps.api.permissions import HasOperatorScope
from apps.gateway.routing_report import MAX_DAYS, routing_report


class RouteSerializer(serializers.Serializer):
    """The calls of one type of task on one tier."""

    task_type = serializers.CharField()
    tier = serializers.CharField()
    calls = serializers.IntegerField()
    answered = serializers.IntegerField()
    failed = serializers.IntegerField()
    escalations = serializers.IntegerField(
        help_text="Answers that were not good enough and were asked for again, one tier up."
    )
    escalation_share = serializers.FloatField(allow_null=True, help_text="Of what was answered.")
    mean_complexity = serializers.FloatField(
        allow_null=True, help_text="Of the calls that were scored; null where every tier was pinned."
    )
    fallbacks = serializers.IntegerField(
        help_text="Live calls that another provider was sent than the tier's first one of today."
    )
    fallback_share = serializers.FloatField(allow_null=True, help_text="Of all calls.")
    cost_usd_micros = serializers.IntegerField()


class AgentCachingSerializer(serializers.Serializer):
    """How much of an agent's input the providers had in their prompt caches."""

    agent = serializers.CharField()
    calls = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    cache_read_tokens = serializers.IntegerField()
    hit_share = serializers.FloatField(allow_null=True, help_text="Of the input; null without any.")


class RoutingSerializer(serializers.Serializer):
    """What was routed since a time."""

    since = serializers.DateTimeField()
    routes = RouteSerializer(many=True)
    agents = AgentCachingSerializer(many=True)


class RoutingView(APIView):
    """Calls by type of task and tier, and prompt caching by agent, over the last days."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="routing_read",
        parameters=[
            OpenApiParameter("days", OpenApiTypes.INT, description=f"1 to {MAX_DAYS}; 1 without it.")
        ],
        responses=RoutingSerializer,
    )
    def get(self, request: Request) -> Response:
        return Response(RoutingSerializer(routing_report(_days(request))).data)


def _days(request: Request) -> int:
    text = request.query_params.get("days", "1")
    if not (text.isascii() and text.isdecimal()) or len(text) > 2 or not 1 <= int(text) <= MAX_DAYS:
        raise bad_parameter("days", f"must be a whole number from 1 to {MAX_DAYS}")
    return int(text)
