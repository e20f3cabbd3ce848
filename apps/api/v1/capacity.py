"""Plans of capacity, for operators."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.capacity.question import MOST_DAYS, USUAL_DAYS, Question
from agentplatform.capacity.what_if import WhatIfError
from apps.api.authentication import principal_of
from apps.api.errors import FieldError, Problem, json_pointer
from apps.api.permissions import HasOperatorScope
from apps.api.serializers import StrictBooleanField, StrictSerializer
from apps.insights.capacity import MOST_WAITING, TooManyPlans, capacity_plan_ask
from apps.insights.models import CapacityPlan

MOST_LISTED = 50


def _share(help_text: str) -> serializers.DictField:
    return serializers.DictField(child=serializers.FloatField(), required=False, help_text=help_text)


class CapacityQuestionSerializer(StrictSerializer):
    """What is planned for; without growths and users it is 1, 3, 10 and 1000 times as much, and 1,000,000 users."""

    growths = serializers.ListField(child=serializers.FloatField(), required=False, max_length=8)
    users = serializers.ListField(child=serializers.FloatField(), required=False, max_length=8)
    days = serializers.IntegerField(
        default=USUAL_DAYS, min_value=1, max_value=MOST_DAYS, help_text="Of how many days profiles are read."
    )
    runs_a_user = serializers.FloatField(
        required=False,
        help_text="Runs a day of one user; without it as many as active tenants have in the mean.",
    )
    same_tenants = StrictBooleanField(
        default=False, help_text="Growth comes from the tenants there are, not from more of them."
    )
    cache_share = serializers.FloatField(
        required=False, help_text="What if this share of answers came from caches."
    )
    mix = _share("What if these were the shares of types of tasks.")
    tier_shares = _share("What if these were the shares of calls by tier.")
    max_complexity = _share("What if these were the thresholds of tiers.")
    target_seconds = _share("By queue, how long 95% of steps should wait at most.")

    def question(self) -> Question:
        """Raises a 422 Problem that names the field."""
        try:
            return Question.from_json(self.validated_data)
        except WhatIfError as error:
            place = json_pointer(getattr(error, "field", ""))
            raise Problem(
                422, "invalid_request", str(error), errors=[FieldError(place, str(error))]
            ) from None


class CapacityPlanSerializer(serializers.ModelSerializer):
    """A plan; `result` is there once it is ready."""

    class Meta:
        model = CapacityPlan
        fields = ("id", "status", "asked", "result", "error", "created_at", "finished_at")


class CapacityPlanSummarySerializer(serializers.ModelSerializer):
    """A plan without its result."""

    class Meta:
        model = CapacityPlan
        fields = ("id", "status", "asked", "error", "created_at", "finished_at")


class CapacityPlansSerializer(serializers.Serializer):
    """The latest plans."""

    results = CapacityPlanSummarySerializer(many=True)


class CapacityPlansView(APIView):
    """Plans of capacity: asked for here, worked out in the background. With an operator's key."""

    permission_classes = [HasOperatorScope]

    @extend_schema(operation_id="operations_capacity_list", responses=CapacityPlansSerializer)
    def get(self, request: Request) -> Response:
        latest = CapacityPlan.objects.defer("result")[:MOST_LISTED]
        return Response(CapacityPlansSerializer({"results": latest}).data)

    @extend_schema(
        operation_id="operations_capacity_ask",
        request=CapacityQuestionSerializer,
        responses={202: CapacityPlanSummarySerializer},
    )
    def post(self, request: Request) -> Response:
        serializer = CapacityQuestionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            made = capacity_plan_ask(serializer.question(), api_key_id=principal_of(request).api_key.pk)
        except TooManyPlans:
            detail = f"{MOST_WAITING} plans wait to be worked out; ask again when one is ready."
            raise Problem(429, "too_many_plans", detail, headers={"Retry-After": "60"}) from None
        headers = {"Location": reverse("operations-capacity-plan", args=[made.pk])}
        return Response(CapacityPlanSummarySerializer(made).data, status=202, headers=headers)


class CapacityPlanView(APIView):
    """One plan of capacity. With an operator's key."""

    permission_classes = [HasOperatorScope]

    @extend_schema(operation_id="operations_capacity", responses=CapacityPlanSerializer)
    def get(self, request: Request, plan_id: Any) -> Response:
        plan = CapacityPlan.objects.filter(pk=plan_id).first()
        if plan is None:
            raise Problem(404, "not_found", "There is no such plan; plans are kept for 90 days.")
        return Response(CapacityPlanSerializer(plan).data)
