"""What has shifted, for operators."""

from __future__ import annotations

from datetime import timedelta

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.profiles.observing import Measure
from apps.api.pagination import bad_parameter, text_parameter
from apps.api.periods import PERIOD_PARAMETERS, iso, period_of
from apps.api.permissions import HasOperatorScope
from apps.insights.drift_selectors import windows_between

MAX_DAYS = 31
MAX_DAYS_WITH_ALL = 7


class DriftReadingSerializer(serializers.Serializer):
    """One measure of a window beside its reference: means or shares, of a mix the share of `moved`."""

    task_type = serializers.CharField(allow_blank=True, help_text="Empty of the whole platform.")
    measure = serializers.ChoiceField([measure.value for measure in Measure])
    moved = serializers.CharField(allow_blank=True, help_text="Of a mix, what moved most.")
    reference_value = serializers.FloatField()
    window_value = serializers.FloatField()
    stability_index = serializers.FloatField(help_text="Population stability index, less what chance adds.")
    p_value = serializers.FloatField(help_text="Of the two-sample test.")
    reference_units = serializers.IntegerField(help_text="Runs in the reference, of about this time of day.")
    window_units = serializers.IntegerField(help_text="Runs in the window.")
    is_drift = serializers.BooleanField()
    cost_a_day_usd_micros = serializers.IntegerField(
        allow_null=True, help_text="What a day like this costs more; null of what costs no money by itself."
    )


class DriftWindowSerializer(serializers.Serializer):
    """A window that was compared with its reference."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reference_starts_at = serializers.DateTimeField()
    reference_ends_at = serializers.DateTimeField()
    reference_windows = serializers.IntegerField()
    runs = serializers.IntegerField()
    compared = serializers.IntegerField(help_text="Measures there was enough of.")
    shifted = serializers.IntegerField()
    readings = DriftReadingSerializer(many=True)


class DriftSerializer(serializers.Serializer):
    """Windows that begin in [from, to), the latest first."""

    def get_fields(self) -> dict[str, serializers.Field]:
        # `from` is a word of the language and cannot be declared as an attribute.
        return {
            "from": serializers.DateTimeField(help_text="Included."),
            "to": serializers.DateTimeField(help_text="Not included."),
            "windows": DriftWindowSerializer(many=True),
        }


class DriftView(APIView):
    """What has shifted in mix, tokens, time and shares, by window, and what that costs. With an operator's key."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="operations_drift",
        parameters=[
            *PERIOD_PARAMETERS,
            OpenApiParameter("type", OpenApiTypes.STR, description="Readings of one type of task."),
            OpenApiParameter("measure", OpenApiTypes.STR, enum=[measure.value for measure in Measure]),
            OpenApiParameter(
                "all",
                OpenApiTypes.STR,
                enum=["true", "false"],
                description=f"With readings that have not shifted, of up to {MAX_DAYS_WITH_ALL} days.",
            ),
        ],
        responses=DriftSerializer,
    )
    def get(self, request: Request) -> Response:
        since, until = period_of(request)
        measure, every = text_parameter(request, "measure"), text_parameter(request, "all") or "false"
        if measure is not None and measure not in set(Measure):
            raise bad_parameter("measure", f"must be one of: {', '.join(Measure)}")
        if every not in ("true", "false"):
            raise bad_parameter("all", "must be true or false")
        days = MAX_DAYS_WITH_ALL if every == "true" else MAX_DAYS
        if until - since > timedelta(days=days):
            raise bad_parameter("from", f"must be at most {days} days before 'to'")
        windows = windows_between(
            since,
            until,
            task_type=text_parameter(request, "type"),
            measure=measure,
            only_shifted=every == "false",
        )
        document = {"from": iso(since), "to": iso(until), "windows": windows}
        return Response(DriftSerializer(document).data)
