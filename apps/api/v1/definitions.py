"""Definitions: which types of workflow there are, and what each takes."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.pagination import page_of
from apps.workflows.models import WorkflowDefinition
from apps.workflows.selectors import current_definitions


class DefinitionSerializer(serializers.Serializer):
    """A type of workflow, with the JSON Schema of its input."""

    type = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    description = serializers.CharField(source="content.description")
    input_schema = serializers.JSONField(source="content.input_schema")
    steps = serializers.JSONField(source="content.steps")
    examples = serializers.JSONField(source="content.examples")
    session = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(["none", "optional", "required"]))
    def get_session(self, definition: WorkflowDefinition) -> str:
        """Whether a submission may, or must, name a session."""
        use = definition.content.get("session")
        return "none" if use is None else "required" if use["is_required"] else "optional"


class DefinitionsView(APIView):
    """Every type of workflow that can be submitted."""

    @extend_schema(operation_id="definitions_list", responses=page_of(DefinitionSerializer))
    def get(self, request: Request) -> Response:
        return Response(
            {"results": DefinitionSerializer(current_definitions(), many=True).data, "next": None}
        )


class DefinitionView(APIView):
    """One type of workflow."""

    @extend_schema(operation_id="definitions_read", responses=DefinitionSerializer)
    def get(self, request: Request, definition_type: str) -> Response:
        definition = current_definitions().filter(type=definition_type).first()
        if definition is None:
            raise Http404
        return Response(DefinitionSerializer(definition).data)
