"""The cache as its tenant sees it, or an operator: what it gave, how far it is trusted, and purging it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from redis import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.pagination import bad_parameter, text_parameter
from apps.api.periods import PERIOD_PARAMETERS, iso, period_of
from apps.api.permissions import HasAnyScope
from apps.api.serializers import StrictCharField, StrictSerializer
from apps.budgets.answer_selectors import LAYERS, Answers, answers_by, answers_in
from apps.budgets.spend_selectors import names_of
from apps.gateway.cache_scopes import ON, cache_scopes, error_of, state_of
from apps.gateway.cache_selectors import trust_in
from apps.gateway.models import CacheScope
from apps.tenants.models import Tenant
from apps.workflows.cached_results import CachePurged, cache_purge
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor
from apps.workflows.selectors import workflows_of

MAX_ROWS = 10_000
ANY_TENANT = OpenApiParameter(
    "tenant_id",
    OpenApiTypes.UUID,
    description="For an operator: of this tenant alone. A tenant's is its own.",
)


class LayerSerializer(serializers.Serializer):
    """What one layer gave."""

    layer = serializers.ChoiceField(LAYERS, help_text="`workflow`: the whole result of an earlier run.")
    hits = serializers.IntegerField()
    hit_share = serializers.FloatField(allow_null=True, help_text="Of all answers; null without any.")
    served_tokens = serializers.IntegerField()
    avoided_usd_micros = serializers.IntegerField(help_text="What they would have cost anew.")


class CacheFiguresSerializer(serializers.Serializer):
    """How many answers there were, bought or not, and which layer gave how many."""

    answers = serializers.IntegerField(
        help_text="Calls that were answered; a whole result given again is one."
    )
    bought = serializers.IntegerField()
    hits = serializers.IntegerField()
    hit_share = serializers.FloatField(allow_null=True, help_text="Of all answers; null without any.")
    served_tokens = serializers.IntegerField()
    avoided_usd_micros = serializers.IntegerField()
    layers = LayerSerializer(many=True)


class TaskTypeSerializer(CacheFiguresSerializer):
    """The same of one type of task of one tenant."""

    tenant_id = serializers.UUIDField()
    tenant = serializers.CharField(help_text="Its name.")
    task_type = serializers.CharField()


class ScopeSerializer(serializers.Serializer):
    """How far answers by meaning are trusted for one use case; those that are not listed have the defaults."""

    tenant_id = serializers.UUIDField()
    tenant = serializers.CharField(help_text="Its name.")
    use_case = serializers.CharField()
    is_serving = serializers.BooleanField(help_text="Whether questions are answered by meaning.")
    threshold = serializers.FloatField(help_text="The least probability at which an answer is served.")
    is_pinned = serializers.BooleanField(help_text="Whether an operator has set it; else it is learned.")
    error_bound = serializers.FloatField(help_text="The share of wrong answers that is put up with.")
    checked = serializers.IntegerField()
    wrong = serializers.IntegerField()
    error_rate = serializers.FloatField(allow_null=True, help_text="As estimated; null before any check.")
    error_low = serializers.FloatField(allow_null=True, help_text="The lower end of its 95% interval.")
    error_high = serializers.FloatField(allow_null=True)
    switched_off_at = serializers.DateTimeField(allow_null=True, help_text="When it switched itself off.")
    switched_off_because = serializers.CharField(allow_blank=True)


class CacheReportSerializer(serializers.Serializer):
    """The cache in [from, to), and how far it is trusted now."""

    def get_fields(self) -> dict[str, Any]:
        # `from` is a word of the language and cannot be declared as an attribute.
        return {
            "from": serializers.DateTimeField(help_text="Included."),
            "to": serializers.DateTimeField(help_text="Not included."),
            "totals": CacheFiguresSerializer(),
            "task_types": TaskTypeSerializer(many=True, help_text="Those with most hits first."),
            "scopes": ScopeSerializer(many=True),
        }


class CacheView(APIView):
    """Hit shares by layer and type of task, avoided cost, and how far answers by meaning are trusted.

    A tenant sees its own, an operator those of all.
    """

    permission_classes = [HasAnyScope]

    @extend_schema(
        operation_id="cache_read",
        parameters=[*PERIOD_PARAMETERS, ANY_TENANT],
        responses=CacheReportSerializer,
    )
    def get(self, request: Request) -> Response:
        since, until = period_of(request)
        tenant_id = _tenant_asked_for(request)
        filters = {} if tenant_id is None else {"tenant": tenant_id}
        found = answers_by(["tenant", "task_type"], since, until, **filters)
        scopes = list(cache_scopes(tenant_id)[: MAX_ROWS + 1])
        if max(len(found), len(scopes)) > MAX_ROWS:
            detail = f"That is more than {MAX_ROWS:,} rows. Ask for a shorter period, or for one tenant."
            raise Problem(400, "too_many_rows", detail)
        names = names_of("tenant", [one.key[0] for one in found])
        report = {
            "from": iso(since),
            "to": iso(until),
            "totals": _figures(answers_in(since, until, **filters)),
            "task_types": [
                {
                    "tenant_id": str(one.key[0]),
                    "tenant": names.get(one.key[0], ""),
                    "task_type": one.key[1],
                    **_figures(one),
                }
                for one in found
            ],
            "scopes": _scopes(scopes),
        }
        return Response(report)


class CachePurgeSerializer(StrictSerializer):
    """What is never to be served again: what a run left, or what a tenant has."""

    workflow_id = serializers.UUIDField(
        required=False, help_text="What this run left in the cache, and the runs that were answered from it."
    )
    tenant_id = serializers.UUIDField(required=False, help_text="For an operator: all that this tenant has.")
    type = StrictCharField(
        required=False, max_length=64, help_text="Of the tenant's: of this definition alone."
    )
    use_case = StrictCharField(
        required=False, max_length=130, help_text="Of the tenant's: of this step alone, `definition.step`."
    )
    reason = StrictCharField(required=False, default="", max_length=200, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("workflow_id" in attrs) == ("tenant_id" in attrs):
            raise serializers.ValidationError("Say what to purge: either workflow_id or tenant_id.")
        if "workflow_id" in attrs and {"type", "use_case"} & set(attrs):
            raise serializers.ValidationError("type and use_case go with tenant_id.")
        if {"type", "use_case"} <= set(attrs):
            raise serializers.ValidationError("Give type or use_case, not both.")
        return attrs


class CachePurgedSerializer(serializers.Serializer):
    """What was purged."""

    answers = serializers.IntegerField(help_text="Kept answers that were deleted.")
    results = serializers.IntegerField(help_text="Runs whose results are not given again.")


class CachePurgeView(APIView):
    """Purges the cache: what a run left in it, with a tenant's key for its own runs; or more, with an operator's."""

    permission_classes = [HasAnyScope]

    @extend_schema(
        operation_id="cache_purge",
        request=CachePurgeSerializer,
        responses={
            200: CachePurgedSerializer,
            (404, CONTENT_TYPE): problem("There is no such run or tenant, or the run is another tenant's."),
            (503, CONTENT_TYPE): problem("The cache server or the database does not answer: purge again."),
        },
    )
    def post(self, request: Request) -> Response:
        serializer = CachePurgeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        actor = Actor(api_key=principal_of(request).api_key)
        try:
            if "workflow_id" in asked:
                workflow_id = _run(request, asked["workflow_id"])
                purged = cache_purge(actor=actor, workflow_id=workflow_id, reason=asked["reason"])
            else:
                purged = _purge_tenant(request, actor, asked)
        except RedisError as error:
            detail = (
                "The cache server does not answer: some of it may still be served. Send the request again."
            )
            raise Problem(503, "cache_unavailable", detail) from error
        return Response(CachePurgedSerializer(purged).data)


def _purge_tenant(request: Request, actor: Actor, asked: dict[str, Any]) -> CachePurged:
    if principal_of(request).tenant is not None:
        raise Problem(
            403, "operator_key_needed", "A tenant's key purges by workflow_id; more is for an operator's."
        )
    tenant = Tenant.objects.filter(pk=asked["tenant_id"]).first()
    if tenant is None:
        raise Http404
    return cache_purge(
        actor=actor,
        tenant=tenant,
        task_type=asked.get("type", ""),
        use_case=asked.get("use_case", ""),
        reason=asked["reason"],
    )


def _run(request: Request, workflow_id: uuid.UUID) -> uuid.UUID:
    tenant = principal_of(request).tenant
    runs = Workflow.objects.all() if tenant is None else workflows_of(tenant)
    if not runs.filter(pk=workflow_id).exists():
        raise Http404
    return workflow_id


def _tenant_asked_for(request: Request) -> uuid.UUID | None:
    own = principal_of(request).tenant
    text = text_parameter(request, "tenant_id")
    try:
        asked = None if text is None else uuid.UUID(text)
    except ValueError:
        raise bad_parameter("tenant_id", "must be the id of a tenant") from None
    if own is None:
        return asked
    if asked not in (None, own.pk):
        raise Http404
    return own.pk


def _figures(found: Answers) -> dict[str, Any]:
    layers = [
        {
            "layer": name,
            "hits": layer.hits,
            "hit_share": found.share_of(layer.hits),
            "served_tokens": layer.served_tokens,
            "avoided_usd_micros": layer.avoided_usd_micros,
        }
        for name, layer in sorted(found.layers.items())
    ]
    return {
        "answers": found.answers,
        "bought": found.bought,
        "hits": found.hits,
        "hit_share": found.hit_share,
        "served_tokens": found.served_tokens,
        "avoided_usd_micros": found.avoided_usd_micros,
        "layers": layers,
    }


def _scopes(scopes: Sequence[CacheScope]) -> Any:
    rows = []
    for scope in scopes:
        error = error_of(scope)
        rows.append(
            {
                "tenant_id": scope.tenant_id,
                "tenant": scope.tenant.name,
                "use_case": scope.use_case,
                "is_serving": state_of(scope) == ON,
                "threshold": trust_in(scope).threshold,
                "is_pinned": scope.pinned_threshold is not None,
                "error_bound": scope.error_bound,
                "checked": scope.checked,
                "wrong": scope.wrong,
                "error_rate": None if error is None else error.rate,
                "error_low": None if error is None else error.low,
                "error_high": None if error is None else error.high,
                "switched_off_at": scope.switched_off_at,
                "switched_off_because": scope.switched_off_because,
            }
        )
    return ScopeSerializer(rows, many=True).data
