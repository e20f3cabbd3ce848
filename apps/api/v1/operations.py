"""What operators do to many workflows at once."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.workflows.statuses import WorkflowStatus
from apps.api.authentication import principal_of
from apps.api.permissions import HasOperatorScope
from apps.api.serializers import StrictBooleanField, StrictCharField, StrictSerializer
from apps.workflows.models import Workflow
from apps.workflows.operations import MAX_WORKFLOWS, VERBS, Actor, workflows_change

_UNFINISHED = [status.value for status in WorkflowStatus if not status.is_terminal]
_FILTERS = {
    "ids": "pk__in",
    "tenant": "tenant",
    "type": "definition__type",
    "status": "status",
    "priority": "queue",
    "created_after": "created_at__gt",
    "created_before": "created_at__lt",
}


class WorkflowSelectionSerializer(StrictSerializer):
    """Which workflows: all that match every filter that is given, of which there must be one."""

    ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, min_length=1, max_length=MAX_WORKFLOWS
    )
    tenant = serializers.UUIDField(required=False)
    type = StrictCharField(required=False, max_length=64)
    status = serializers.ChoiceField(_UNFINISHED, required=False)
    priority = serializers.ChoiceField(["interactive", "standard", "batch"], required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    dry_run = StrictBooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not set(attrs) & set(_FILTERS):
            raise serializers.ValidationError(f"Say which workflows: give one of {', '.join(_FILTERS)}.")
        return attrs


class BulkReportSerializer(serializers.Serializer):
    """What came of an operation on many workflows."""

    matched = serializers.IntegerField(help_text="Those there was something to do for, at most 500.")
    changed = serializers.IntegerField()
    has_more = serializers.BooleanField(help_text="Send the same request again for the others.")
    operation_id = serializers.UUIDField(allow_null=True, help_text="Its record; null in a dry run.")


class WorkflowOperationView(APIView):
    """Cancel, pause or resume many workflows, of one tenant or of all. With an operator's key."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="operations_workflows",
        parameters=[OpenApiParameter("verb", enum=list(VERBS), location=OpenApiParameter.PATH)],
        request=WorkflowSelectionSerializer,
        responses=BulkReportSerializer,
    )
    def post(self, request: Request, verb: str) -> Response:
        if verb not in VERBS:
            raise Http404
        serializer = WorkflowSelectionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        selection = dict(serializer.validated_data)
        dry_run = selection.pop("dry_run")
        chosen = Workflow.objects.filter(**{_FILTERS[name]: value for name, value in selection.items()})
        asked = {name: value for name, value in serializer.initial_data.items() if name in selection}
        actor = Actor(api_key=principal_of(request).api_key)
        report = workflows_change(actor, verb, chosen, asked=asked, dry_run=dry_run)
        return Response(BulkReportSerializer(report).data)
