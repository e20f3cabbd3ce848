"""Keyset pages: stable under insertion, and as quick on the last page as on the first."""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.errors import FieldError, Problem

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


PAGE_PARAMETERS = [
    OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {MAX_LIMIT}; {DEFAULT_LIMIT} without it."),
    OpenApiParameter("cursor", OpenApiTypes.STR, description="From the `next` of the page before."),
]


def page_of(serializer: type[serializers.Serializer[Any]]) -> Any:
    """The OpenAPI schema of a page of `serializer`."""
    return inline_serializer(
        name=f"{serializer.__name__.removesuffix('Serializer')}Page",
        fields={"results": serializer(many=True), "next": serializers.URLField(allow_null=True)},
    )


class KeysetPagination(BasePagination):
    """`?limit=…&cursor=…` over rows whose id sorts by time, newest first. `next` is the URL of the next page."""

    def paginate_queryset(  # type: ignore[override]
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any] | None:
        self._request = request
        limit = limit_parameter(request)
        cursor = request.query_params.get("cursor")
        if cursor:
            queryset = queryset.filter(pk__lt=_decode(cursor))
        rows = list(queryset.order_by("-pk")[: limit + 1])
        self._next_cursor = _encode(rows[limit - 1].pk) if len(rows) > limit else None
        return rows[:limit]

    def get_paginated_response(self, data: Any) -> Response:
        following = None
        if self._next_cursor is not None:
            query = {**self._request.query_params.dict(), "cursor": self._next_cursor}
            following = self._request.build_absolute_uri(f"{self._request.path}?{urlencode(query)}")
        return Response({"results": data, "next": following})


def limit_parameter(request: Request) -> int:
    """How many rows a page has. Raises a 400 Problem."""
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= MAX_LIMIT:
        raise bad_parameter("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def text_parameter(request: Request, name: str) -> str | None:
    """The query parameter `name`; None without one. Raises a 400 Problem for text that no column can hold."""
    text = request.query_params.get(name)
    if text and "\x00" in text:
        raise bad_parameter(name, "holds the character U+0000, which nothing here does")
    return text or None


def bad_parameter(name: str, what: str) -> Problem:
    """The 400 for a query parameter; `what` goes on from its name."""
    detail = f"The query parameter '{name}' {what}."
    return Problem(400, "invalid_parameter", detail, errors=[FieldError(f"?{name}", detail)])


def _encode(pk: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(pk.bytes).decode().rstrip("=")


def _decode(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error):
        raise bad_parameter("cursor", "is not one that a page returned") from None
