"""A tenant's budgets: how much of each is used, what is projected, and what is held back."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.budgets.thresholds import Level
from apps.api.v1.workflows import tenant_of
from apps.budgets.models import Period, Scope
from apps.budgets.selectors import TenantBudget, budgets_of_tenant, held_steps, restraint_of_tenant
from apps.insights.selectors import forecasts_of

LEVELS = [level.name.lower() for level in Level]


class ForecastSerializer(serializers.Serializer):
    """What a window will have used at its end, with 80% from low to high."""

    measure = serializers.CharField(help_text="usd_micros or tokens.")
    expected = serializers.IntegerField()
    low = serializers.IntegerField()
    high = serializers.IntegerField()
    runs_out_at = serializers.DateTimeField(allow_null=True)
    computed_at = serializers.DateTimeField()


class WindowSerializer(serializers.Serializer):
    """One day or month of a budget. A cap or a room that is null is not limited."""

    period = serializers.ChoiceField(Period.values, source="window.period")
    starts_at = serializers.DateTimeField(source="window.starts_at")
    ends_at = serializers.DateTimeField(source="window.ends_at")
    cap_usd_micros = serializers.IntegerField(allow_null=True)
    cap_tokens = serializers.IntegerField(allow_null=True)
    used_usd_micros = serializers.IntegerField()
    used_tokens = serializers.IntegerField()
    in_flight_usd_micros = serializers.IntegerField(help_text="Reserved for calls that have not ended.")
    in_flight_tokens = serializers.IntegerField()
    room_usd_micros = serializers.IntegerField(allow_null=True)
    room_tokens = serializers.IntegerField(allow_null=True)
    used_percent = serializers.FloatField(help_text="Of the cap that is used most.")
    level = serializers.SerializerMethodField(help_text="The strictest action that is in force.")
    forecasts = ForecastSerializer(many=True)

    def get_level(self, usage: Any) -> str:
        return LEVELS[usage.window.level]


class ThresholdsSerializer(serializers.Serializer):
    """From which percent of a cap on each action is in force; null: never."""

    alert = serializers.IntegerField(allow_null=True)
    degrade = serializers.IntegerField(allow_null=True)
    throttle = serializers.IntegerField(allow_null=True)
    shutoff = serializers.IntegerField()


class BudgetSerializer(serializers.Serializer):
    """A budget that caps the tenant alone. Its windows begin with the first call in them."""

    name = serializers.CharField(source="budget.name")
    scope = serializers.ChoiceField(Scope.values, source="budget.scope")
    api_key_id = serializers.UUIDField(source="budget.api_key_id", allow_null=True)
    task_type = serializers.CharField(source="budget.task_type")
    time_zone = serializers.CharField(source="budget.time_zone")
    is_dry_run = serializers.BooleanField(source="budget.is_dry_run")
    thresholds = ThresholdsSerializer(source="budget.thresholds")
    windows = WindowSerializer(many=True)


class RestraintSerializer(serializers.Serializer):
    """The strictest action in force for the tenant's calls, of whichever budget."""

    level = serializers.ChoiceField(LEVELS)
    budget = serializers.CharField(allow_null=True, help_text="null where none is.")


class BudgetsSerializer(serializers.Serializer):
    """The tenant's budgets, and what is held back because of any."""

    budgets = BudgetSerializer(many=True)
    restraint = RestraintSerializer()
    held_steps = serializers.IntegerField(help_text="Steps that wait for budget.")


class BudgetView(APIView):
    """The tenant's own budgets at this moment."""

    @extend_schema(operation_id="budget_read", responses=BudgetsSerializer)
    def get(self, request: Request) -> Response:
        tenant = tenant_of(request)
        budgets = budgets_of_tenant(tenant)
        _add_forecasts(budgets)
        restraint = restraint_of_tenant(tenant)
        told = {
            "budgets": budgets,
            "restraint": {"level": LEVELS[restraint.level], "budget": restraint.budget or None},
            "held_steps": held_steps(tenant),
        }
        return Response(BudgetsSerializer(told).data)


def _add_forecasts(budgets: list[TenantBudget]) -> None:
    usages: list[Any] = [usage for budget in budgets for usage in budget.windows]
    forecasts = forecasts_of(usage.window_id for usage in usages)
    for usage in usages:
        usage.forecasts = forecasts.get(usage.window_id, [])
