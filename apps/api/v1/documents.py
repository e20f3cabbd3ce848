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

from apps.api.errors import Problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, page_of, text_parameter
from apps.api.serializers import ObjectField, StrictCharField, StrictSerializer
from apps.api.v1.workflows import tenant_of
from apps.knowledge.models import Document
from apps.knowledge.services import (
    DocumentGone,
    ExternalIdTaken,
    document_create,
    document_delete,
    document_update,
)


class DocumentInputSerializer(StrictSerializer):
    """A document. `external_id` is your own name for it, unique among your documents."""

    title = StrictCharField(max_length=500)
    content = StrictCharField(trim_whitespace=False)
    content_type = serializers.ChoiceField(Document.ContentType.values, default=Document.ContentType.MARKDOWN)
    external_id = StrictCharField(required=False, allow_null=True, max_length=500)
    metadata = ObjectField(required=False)


class DocumentSummarySerializer(serializers.Serializer):
    """A document, in a list."""

    id = serializers.UUIDField()
    external_id = serializers.CharField(allow_null=True)
    title = serializers.CharField()
    content_type = serializers.CharField()
    metadata = serializers.JSONField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class DocumentSerializer(DocumentSummarySerializer):
    """A document, whole."""

    content = serializers.CharField()


class DocumentsView(APIView):
    """Add a document, or list those there are."""

    @extend_schema(
        operation_id="documents_create",
        request=DocumentInputSerializer,
        responses={201: DocumentSerializer},
    )
    def post(self, request: Request) -> Response:
        serializer = DocumentInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            document = document_create(tenant=tenant_of(request), **serializer.validated_data)
        except ExternalIdTaken as error:
            raise Problem(409, "external_id_taken", str(error)) from error
        return Response(DocumentSerializer(document).data, status=status.HTTP_201_CREATED)

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

    @extend_schema(operation_id="documents_read", responses=DocumentSerializer)
    def get(self, request: Request, document_id: uuid.UUID) -> Response:
        return Response(DocumentSerializer(_find(request, document_id)).data)

    @extend_schema(
        operation_id="documents_replace", request=DocumentInputSerializer, responses=DocumentSerializer
    )
    def put(self, request: Request, document_id: uuid.UUID) -> Response:
        return self._update(request, document_id, partial=False)

    @extend_schema(
        operation_id="documents_change",
        request=DocumentInputSerializer(partial=True),
        responses=DocumentSerializer,
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
        return Response(DocumentSerializer(document).data)


def _find(request: Request, document_id: uuid.UUID) -> Document:
    document = Document.objects.of(tenant_of(request)).filter(pk=document_id).first()
    if document is None:
        raise Http404
    return document
