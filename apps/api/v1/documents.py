"""Documents of the knowledge base: create, list, read, change, delete."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.embedding.vectors import MODEL_NAME
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, page_of, text_parameter
from apps.api.parsers import StrictJSONParser
from apps.api.serializers import ObjectField, StrictCharField, StrictSerializer
from apps.api.uploads import DocumentUploadParser, Upload
from apps.api.v1.workflows import tenant_of
from apps.knowledge.models import Document
from apps.knowledge.selectors import passage_counts
from apps.knowledge.services import (
    DocumentGone,
    ExternalIdTaken,
    document_create,
    document_delete,
    document_update,
)

EXTERNAL_ID_TAKEN = {(409, CONTENT_TYPE): problem("Another document has this external_id.")}


class DocumentInputSerializer(StrictSerializer):
    """A document. `external_id` is your own name for it, unique among your documents. A PDF is sent as a file."""

    title = StrictCharField(max_length=500)
    content = StrictCharField(trim_whitespace=False)
    content_type = serializers.ChoiceField(Document.ContentType.values, default=Document.ContentType.MARKDOWN)
    external_id = StrictCharField(required=False, allow_null=True, max_length=500)
    metadata = ObjectField(required=False)

    def validate_content_type(self, content_type: str) -> str:
        if content_type == Document.ContentType.PDF and not isinstance(self.initial_data, Upload):
            raise serializers.ValidationError(
                "Send a PDF as a file: multipart/form-data, in the part 'file'."
            )
        return content_type


class DocumentFileSerializer(serializers.Serializer):
    """A document as a file: Markdown, plain text or PDF. `metadata` is JSON."""

    file = serializers.FileField()
    title = serializers.CharField(required=False, max_length=500)
    content_type = serializers.ChoiceField(Document.ContentType.values, required=False)
    external_id = serializers.CharField(required=False, max_length=500)
    metadata = serializers.CharField(required=False)


class DocumentSummarySerializer(serializers.Serializer):
    """A document, in a list."""

    id = serializers.UUIDField()
    external_id = serializers.CharField(allow_null=True)
    title = serializers.CharField()
    content_type = serializers.CharField()
    metadata = serializers.JSONField()
    is_embedded = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_is_embedded(self, document: Document) -> bool:
        """Whether all of its passages have their vectors, so that it is found by meaning too."""
        return document.embedding_model == MODEL_NAME


class DocumentSerializer(DocumentSummarySerializer):
    """A document, whole. `passages` it is cut into; `embedded_passages` of them have their vectors."""

    content = serializers.CharField()
    passages = serializers.IntegerField()
    embedded_passages = serializers.IntegerField()


def shown(document: Document) -> dict[str, Any]:
    """A document as it is answered."""
    passages, embedded = passage_counts(document)
    document.passages, document.embedded_passages = passages, embedded  # type: ignore[attr-defined]
    return DocumentSerializer(document).data


BODIES = [StrictJSONParser, DocumentUploadParser]
DOCUMENT_INPUT = {
    "application/json": DocumentInputSerializer,
    "multipart/form-data": DocumentFileSerializer,
}


class DocumentsView(APIView):
    """Add a document, or list those there are."""

    parser_classes = BODIES

    @extend_schema(
        operation_id="documents_create",
        request=DOCUMENT_INPUT,
        responses={201: DocumentSerializer, **EXTERNAL_ID_TAKEN},
    )
    def post(self, request: Request) -> Response:
        serializer = DocumentInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            document = document_create(tenant=tenant_of(request), **serializer.validated_data)
        except ExternalIdTaken as error:
            raise Problem(409, "external_id_taken", str(error)) from error
        return Response(shown(document), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="documents_list",
        responses=page_of(DocumentSummarySerializer),
        parameters=[OpenApiParameter("external_id", OpenApiTypes.STR), *PAGE_PARAMETERS],
    )
    def get(self, request: Request) -> Response:
        documents = Document.objects.of(tenant_of(request)).defer("content")
        external_id = text_parameter(request, "external_id")
        if external_id:
            documents = documents.filter(external_id=external_id)
        pages = KeysetPagination()
        page = pages.paginate_queryset(documents, request)
        return pages.get_paginated_response(DocumentSummarySerializer(page, many=True).data)


class DocumentView(APIView):
    """One document."""

    parser_classes = BODIES

    @extend_schema(operation_id="documents_read", responses=DocumentSerializer)
    def get(self, request: Request, document_id: uuid.UUID) -> Response:
        return Response(shown(_find(request, document_id)))

    @extend_schema(
        operation_id="documents_replace",
        request=DOCUMENT_INPUT,
        responses={200: DocumentSerializer, **EXTERNAL_ID_TAKEN},
    )
    def put(self, request: Request, document_id: uuid.UUID) -> Response:
        return self._update(request, document_id, partial=False)

    @extend_schema(
        operation_id="documents_change",
        request={**DOCUMENT_INPUT, "application/json": DocumentInputSerializer(partial=True)},
        responses={200: DocumentSerializer, **EXTERNAL_ID_TAKEN},
    )
    def patch(self, request: Request, document_id: uuid.UUID) -> Response:
        return self._update(request, document_id, partial=True)

    @extend_schema(operation_id="documents_delete", responses={204: None})
    def delete(self, request: Request, document_id: uuid.UUID) -> Response:
        document_delete(_find(request, document_id))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _update(self, request: Request, document_id: uuid.UUID, *, partial: bool) -> Response:
        document = _find(request, document_id)
        serializer = DocumentInputSerializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        fields: dict[str, Any] = dict(serializer.validated_data)
        if not partial:
            fields = {"external_id": None, "metadata": {}, **fields}
        try:
            document = document_update(document, fields)
        except DocumentGone as error:
            raise Http404 from error
        except ExternalIdTaken as error:
            raise Problem(409, "external_id_taken", str(error)) from error
        return Response(shown(document))


def _find(request: Request, document_id: uuid.UUID) -> Document:
    document = Document.objects.of(tenant_of(request)).filter(pk=document_id).first()
    if document is None:
        raise Http404
    return document
