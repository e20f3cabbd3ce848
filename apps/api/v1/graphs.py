"""The graph of a workflow, with its states."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.workflows.graph import graph_of, svg_of
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus
from apps.api.pagination import bad_parameter, text_parameter
from apps.api.v1.workflows import find_workflow
from apps.workflows.selectors import run_state

SVG = "image/svg+xml"


class GraphNodeSerializer(serializers.Serializer):
    """A node of the graph: a step, or all the steps of a fan-out or a loop."""

    key = serializers.CharField()
    agent = serializers.CharField()
    kind = serializers.ChoiceField(["step", "fan_out", "loop"])
    status = serializers.ChoiceField(
        [status.value for status in StepStatus], help_text="Of its steps, what matters most."
    )
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="How many steps, by status.")
    total = serializers.IntegerField(allow_null=True, help_text="null until the list of a fan-out is known.")
    layer = serializers.IntegerField(help_text="Where it stands, from the left.")
    row = serializers.FloatField(help_text="Where it stands, from the top.")


class EdgeSerializer(serializers.Serializer):
    """The target waits for the source."""

    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    has_condition = serializers.BooleanField(
        help_text="Whether the target runs only where its condition holds."
    )


class GraphSerializer(serializers.Serializer):
    """A workflow's graph."""

    workflow_id = serializers.UUIDField()
    status = serializers.ChoiceField([status.value for status in WorkflowStatus])
    nodes = GraphNodeSerializer(many=True)
    edges = EdgeSerializer(many=True)


class WorkflowGraphView(APIView):
    """The graph of a workflow with the state of every node, with what its agents have added; or a picture of it."""

    @extend_schema(
        operation_id="workflows_graph",
        responses={
            (200, "application/json"): GraphSerializer,
            (200, SVG): OpenApiResponse(OpenApiTypes.STR, description="With `as=svg`: a picture."),
        },
        parameters=[OpenApiParameter("as", enum=["json", "svg"])],
    )
    def get(self, request: Request, workflow_id: uuid.UUID) -> HttpResponseBase:
        wanted = text_parameter(request, "as") or "json"
        if wanted not in ("json", "svg"):
            raise bad_parameter("as", "must be one of: json, svg")
        workflow = find_workflow(request, workflow_id)
        run = run_state(workflow.pk)
        graph = graph_of(run.definition, run.state)
        if wanted == "svg":
            return HttpResponse(svg_of(graph), content_type=SVG)
        about: dict[str, Any] = {"workflow_id": workflow.pk, "status": workflow.status}
        return Response(GraphSerializer({**about, "nodes": graph.nodes, "edges": graph.edges}).data)
