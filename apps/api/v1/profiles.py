"""What tasks take and cost, for operators."""

from __future__ import annotations

from datetime import datetime, timedelta

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.llm.tiers import Tier
from agentplatform.profiles.report import profile_report
from apps.api.pagination import bad_parameter, text_parameter
from apps.api.periods import PERIOD_PARAMETERS, iso, period_of
from apps.api.permissions import HasOperatorScope
from apps.insights.profile_selectors import stored_profile

MAX_DAYS = 31
MAX_DAYS_OF_ALL_TYPES = 2
DAY = timedelta(days=1)

SHARE = "0 to 1; null of nothing."


class DistributionSerializer(serializers.Serializer):
    """How one measure is distributed; quantiles are right to a fiftieth."""

    count = serializers.IntegerField()
    mean = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)


class TypeProfileSerializer(serializers.Serializer):
    """The runs of one type of task."""

    task_type = serializers.CharField()
    arrived = serializers.IntegerField()
    arrived_an_hour = serializers.FloatField()
    burstiness = serializers.FloatField(
        allow_null=True,
        help_text="Squared coefficient of variation of the times between arrivals: 1 when they are independent.",
    )
    finished = serializers.IntegerField()
    failed_share = serializers.FloatField(allow_null=True, help_text=SHARE)
    given_again_share = serializers.FloatField(
        allow_null=True, help_text="Of those that ended: whose result was an earlier run's."
    )
    queues = serializers.DictField(child=serializers.FloatField(), help_text="Shares by queue.")
    tenant_tiers = serializers.DictField(
        child=serializers.FloatField(), help_text="Shares by tier of tenants."
    )
    run_seconds = DistributionSerializer()
    cost_usd_micros = DistributionSerializer()


class TaskProfileSerializer(serializers.Serializer):
    """One type of task on one tier of models; the tier is empty for steps that call none."""

    task_type = serializers.CharField()
    tier = serializers.CharField(allow_blank=True)
    steps = serializers.IntegerField(help_text="That ended, and whose last call was on the tier.")
    calls = serializers.IntegerField(help_text="On the tier, answers from a cache included.")
    tier_share = serializers.FloatField(allow_null=True, help_text="Of the task's calls.")
    cache_hit_share = serializers.FloatField(allow_null=True, help_text=SHARE)
    retry_share = serializers.FloatField(
        allow_null=True, help_text="Of the attempts of steps, those after one that failed or was lost."
    )
    refusal_share = serializers.FloatField(allow_null=True, help_text=SHARE)
    escalation_share = serializers.FloatField(allow_null=True, help_text=SHARE)
    input_tokens = DistributionSerializer(help_text="Of each call that was answered and bought.")
    output_tokens = DistributionSerializer()
    call_seconds = DistributionSerializer()
    slot_seconds = DistributionSerializer(help_text="How long a step held its slot, in all its attempts.")
    wait_seconds = DistributionSerializer(help_text="From ready to its last start.")
    tool_calls = DistributionSerializer(help_text="Of each step.")
    cost_usd_micros = DistributionSerializer(help_text="Of each step.")


class NodeProfileSerializer(serializers.Serializer):
    """The steps of one node."""

    task_type = serializers.CharField()
    node = serializers.CharField()
    agent = serializers.CharField()
    queue = serializers.CharField()
    steps = serializers.IntegerField()
    steps_a_run = serializers.FloatField(allow_null=True)
    calls_a_step = serializers.FloatField()
    retry_share = serializers.FloatField(allow_null=True, help_text=SHARE)
    slot_seconds = DistributionSerializer()
    wait_seconds = DistributionSerializer()
    cost_usd_micros = DistributionSerializer()


class ProfilesSerializer(serializers.Serializer):
    """What was measured in [from, to)."""

    def get_fields(self) -> dict[str, serializers.Field]:
        # `from` is a word of the language and cannot be declared as an attribute.
        return {
            "from": serializers.DateTimeField(help_text="Included."),
            "to": serializers.DateTimeField(help_text="Not included."),
            "measured_seconds": serializers.FloatField(help_text="How much of that time has been measured."),
            "types": TypeProfileSerializer(many=True),
            "tasks": TaskProfileSerializer(many=True),
            "nodes": NodeProfileSerializer(many=True),
        }


class ProfilesView(APIView):
    """What types of tasks take and cost, on each tier and in each step, by full hours. With an operator's key."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="operations_profiles",
        parameters=[
            OpenApiParameter(
                "from", OpenApiTypes.STR, description="As for usage; a day before `to` without it."
            ),
            PERIOD_PARAMETERS[1],
            OpenApiParameter(
                "type",
                OpenApiTypes.STR,
                description=f"One type of task, of up to {MAX_DAYS} days; all, of up to {MAX_DAYS_OF_ALL_TYPES}, without it.",
            ),
            OpenApiParameter("tier", OpenApiTypes.STR, enum=[tier.value for tier in Tier]),
        ],
        responses=ProfilesSerializer,
    )
    def get(self, request: Request) -> Response:
        task_type = text_parameter(request, "type")
        since, until = _period(request, MAX_DAYS if task_type else MAX_DAYS_OF_ALL_TYPES)
        tier = text_parameter(request, "tier")
        if tier is not None and tier not in set(Tier):
            raise bad_parameter("tier", f"must be one of: {', '.join(Tier)}")
        report = profile_report(stored_profile(since, until, task_type), tier)
        document = {"from": iso(since), "to": iso(until)}
        for name in ("measured_seconds", "types", "tasks", "nodes"):
            document[name] = getattr(report, name)
        return Response(ProfilesSerializer(document).data)


def _period(request: Request, days: int) -> tuple[datetime, datetime]:
    since, until = period_of(request)
    if text_parameter(request, "from") is None:
        since = until - DAY
    if until - since > days * DAY:
        raise bad_parameter("from", f"must be at most {days} days before 'to' (with a type, {MAX_DAYS})")
    return since, until
