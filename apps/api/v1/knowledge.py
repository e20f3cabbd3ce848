"""The knowledge base as a whole: what it holds, and what it finds for a question."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.serializers import StrictCharField, StrictIntegerField, StrictSerializer
from apps.api.v1.workflows import tenant_of
from apps.knowledge.retrieval import retrieve
from apps.knowledge.selectors import knowledge_state


class KnowledgeSerializer(serializers.Serializer):
    """The knowledge base. `version` grows with every change of a title or a content."""

    version = serializers.IntegerField()
    changed_at = serializers.DateTimeField(allow_null=True)
    documents = serializers.IntegerField()
    passages = serializers.IntegerField()
    embedded_passages = serializers.IntegerField(
        help_text="Passages that have vectors by now; the others are found by full text alone."
    )
    embedding_model = serializers.CharField()


class SearchInputSerializer(StrictSerializer):
    """A question, and how many passages to return."""

    question = StrictCharField(max_length=2000)
    limit = StrictIntegerField(min_value=1, max_value=50, default=8)


class PassageSerializer(serializers.Serializer):
    """A passage that matches; `rank` is in (0, 1]."""

    document_id = serializers.UUIDField()
    title = serializers.CharField()
    heading = serializers.CharField()
    text = serializers.CharField()
    rank = serializers.FloatField()


class SearchDegradationSerializer(serializers.Serializer):
    """How the search fell short."""

    code = serializers.CharField()
    message = serializers.CharField()


class SearchSerializer(serializers.Serializer):
    """Passages, best first."""

    passages = PassageSerializer(many=True)
    degradations = SearchDegradationSerializer(many=True)


class KnowledgeView(APIView):
    """How much there is, and how far its vectors are."""

    @extend_schema(operation_id="knowledge_read", responses=KnowledgeSerializer)
    def get(self, request: Request) -> Response:
        return Response(KnowledgeSerializer(knowledge_state(tenant_of(request))).data)


class KnowledgeSearchView(APIView):
    """The passages that agents would be given for a question."""

    @extend_schema(
        operation_id="knowledge_search", request=SearchInputSerializer, responses={200: SearchSerializer}
    )
    def post(self, request: Request) -> Response:
        serializer = SearchInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        found = retrieve(tenant_id=tenant_of(request).pk, **serializer.validated_data)
        return Response(SearchSerializer(found).data)
